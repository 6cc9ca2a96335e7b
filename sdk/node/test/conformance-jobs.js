// The handlers that sdk/conformance needs.
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { Fail, Retry, serve } from "../polychron.js";

serve({
  echo: (payload) => payload,
  fail: ({ message, message_bytes = 0, retry }) => {
    message += "x".repeat(message_bytes);
    if (retry === false) throw new Fail(message);
    throw new RangeError(message);
  },
  retry: ({ message, after_ms }) => {
    throw new Retry(message, { after: after_ms / 1000 });
  },
  progress: ({ text }, context) => context.progress(1, 2, text),
  print: ({ text }) => console.log(text),
  run: ({ argv: [program, ...rest] }) => execFileSync(program, rest, { encoding: "utf8" }),
  large: ({ bytes }) => "x".repeat(bytes),
  context: (_, { tenant, job, attempt, maxAttempts, idempotencyKey, databaseUrl }) => ({
    tenant, job, attempt, max_attempts: maxAttempts, idempotency_key: idempotencyKey, database_url: databaseUrl,
  }),
  wait: async ({ seconds }, context) => {
    context.progress(0);
    await sleep(seconds * 1000, undefined, { signal: context.signal });
  },
});
