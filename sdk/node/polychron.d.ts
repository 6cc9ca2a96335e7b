/** Why an execution's result is no longer wanted. */
export type Why = "timeout" | "request" | "lease_lost" | "shutdown" | (string & {});

/** The execution that a handler runs for. */
export interface Context {
  /** The tenant's slug. */
  readonly tenant: string;
  /** The job's name. */
  readonly job: string;
  readonly jobType: string;
  /** The id of this attempt's row. */
  readonly execution: string;
  /** 1 for the first attempt at the occurrence. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** The same for every attempt at this occurrence: pass it to systems in which the work must happen once. */
  readonly idempotencyKey: string;
  /** The occurrence: when it was planned to run. */
  readonly scheduledFor: Date;
  /** When this attempt ends, by the clock of the tenant's database. See `timeLeft`. */
  readonly deadline: Date;
  /** The tenant's database, with its password. */
  readonly databaseUrl: string;
  /** The execution's span, as in W3C Trace Context. */
  readonly traceparent?: string;
  /** Aborted, with a `Cancelled` as its reason, when the result is no longer wanted. Pass it on. */
  readonly signal: AbortSignal;
  /** The milliseconds left until the deadline. */
  timeLeft(): number;
  /** Reports progress, in units of the handler's choice. Call it as often as you like. */
  progress(done: number, total?: number, message?: string): void;
  /** Appends to the execution's output. `console.log` and its like do so, too. */
  log(text: string, level?: "debug" | "info" | "warning" | "error"): void;
}

/** Code for one job type. What it returns is stored as JSON. */
export type Handler<Payload = any> = (payload: Payload, context: Context) => unknown;

/** The attempt failed, and another one would fail in the same way. */
export class Fail extends Error {}

/** The attempt failed; try again. `after` is the delay in seconds, instead of the job's backoff. */
export class Retry extends Error {
  constructor(message?: string, options?: ErrorOptions & { after?: number });
  readonly after?: number;
}

/** The reason of `Context.signal`. */
export class Cancelled extends Error {
  readonly why: Why;
}

/**
 * Runs handlers, by job type, for the consumer that started this program. Up to `concurrency` (10 by
 * default) of them run at once.
 */
export function serve(handlers: Record<string, Handler>, options?: { concurrency?: number }): void;

/** Runs one handler once, for tests. `fields` are those of the protocol's message `start`. */
export function run(handler: Handler, payload?: unknown, fields?: Record<string, unknown>): Promise<unknown>;
