// Compiled, never run: what polychron.d.ts must accept, and what it must reject.
import { Cancelled, type Context, Fail, type Handler, Retry, run, serve, type Why } from "../polychron.js";

interface Report {
  month: string;
}

const report: Handler<Report> = async ({ month }, context) => {
  context.progress(1, 2, month);
  context.log(`attempt ${context.attempt} of ${context.maxAttempts} for ${context.tenant}`, "warning");
  await new Promise((done) => context.signal.addEventListener("abort", done));
  const why: Why = context.signal.reason instanceof Cancelled ? context.signal.reason.why : "timeout";
  if (context.timeLeft() < 1000) throw new Retry("no time left", { after: 30, cause: new Error(why) });
  if (context.scheduledFor > context.deadline) throw new Fail("too late");
  return { pages: 12, trace: context.traceparent?.length };
};

serve({ report, untyped: (payload) => payload.anything, none: () => {} }, { concurrency: 4 });
const result: Promise<unknown> = run(report, { month: "2026-11" }, { database_url: "sqlite:///tmp/acme.db" });
await result;

export const reads = (context: Context): string => context.idempotencyKey + context.databaseUrl;

// @ts-expect-error: a level that the protocol does not have
export const level = (context: Context) => context.log("text", "fatal");
// @ts-expect-error: fields of the execution cannot be set
export const assigns = (context: Context) => (context.tenant = "globex");
// @ts-expect-error: the payload has no such field
export const misreads: Handler<Report> = ({ year }) => year;
// @ts-expect-error: seconds are a number
export const delays = () => new Retry("later", { after: "30s" });
// @ts-expect-error: no such option
serve({ report }, { threads: 4 });
