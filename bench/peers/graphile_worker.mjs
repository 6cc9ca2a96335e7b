// graphile-worker: ten jobs at once in one process, on PostgreSQL alone, notified of new jobs by NOTIFY.
// It takes jobs and ends them in batches, as its documentation advises for speed.
//
// `work` runs it; `enqueue` makes its tables, and enqueues JOBS jobs on SIGUSR1. Jobs that have
// succeeded leave no row, so that it also writes down how many there were.

import { makeWorkerUtils, run } from "graphile-worker";

const CONCURRENCY = 10;
const BATCH = 100;
const GROUP = 500;

const connectionString = process.env.DATABASE_URL;
const jobs = Number(process.env.JOBS);

async function work() {
  const worker = { concurrentJobs: CONCURRENCY, localQueue: { size: BATCH }, completeJobBatchDelay: 0 };
  const runner = await run({ preset: { worker: { connectionString, ...worker } }, taskList: { noop: async () => {} } });
  console.log("ready");
  await runner.promise;
}

async function enqueue() {
  const start = new Promise((resolve) => process.once("SIGUSR1", resolve));
  const utils = await makeWorkerUtils({ connectionString });
  await utils.migrate();
  const query = (text, values) => utils.withPgClient((client) => client.query(text, values));
  await query("CREATE TABLE handed_in (jobs bigint NOT NULL)");
  const waiting = setInterval(() => {}, 1000); // a listener alone does not keep Node alive
  console.log("ready");
  await start;
  for (let first = 0; first < jobs; first += GROUP) {
    const length = Math.min(GROUP, jobs - first);
    await utils.addJobs(Array.from({ length }, () => ({ identifier: "noop", payload: {} })));
  }
  await query("INSERT INTO handed_in VALUES ($1)", [jobs]);
  process.once("SIGTERM", async () => {
    clearInterval(waiting);
    await utils.release();
  });
}

await { work, enqueue }[process.argv[2]]();
