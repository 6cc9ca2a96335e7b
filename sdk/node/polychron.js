// Handlers for Polychron: docs/handler-protocol.md. Types and their documentation are in polychron.d.ts.
import { AsyncLocalStorage } from "node:async_hooks";
import { isatty } from "node:tty";
import net from "node:net";
import { format, inspect } from "node:util";

const VERSION = 1;
const ALIVE_MS = 10_000;
const LINE_BYTES_MAX = 1 << 20;
const MESSAGE_MAX = 8 * 1024; // the consumer keeps as much
const DETAIL_MAX = 64 * 1024;

export class Fail extends Error {}
export class Retry extends Error {
  constructor(message = "the handler asked for a retry", { after, ...options } = {}) {
    super(message, options);
    this.after = after;
  }
}
export class Cancelled extends Error {
  constructor(why) {
    super(why);
    this.why = why;
  }
}

/** The execution that the current code belongs to. */
const current = new AsyncLocalStorage();

class Context {
  constructor(start, send) {
    this.execution = start.id;
    this.jobType = start.type;
    this.tenant = start.tenant;
    this.job = start.job;
    this.attempt = start.attempt;
    this.maxAttempts = start.max_attempts;
    this.idempotencyKey = start.idempotency_key;
    this.scheduledFor = new Date(start.scheduled_for);
    this.deadline = new Date(start.deadline);
    this.databaseUrl = start.database_url;
    this.traceparent = start.traceparent ?? undefined;
    const endsAt = performance.now() + start.timeout_ms;
    const abort = new AbortController();
    this.signal = abort.signal;
    this.timeLeft = () => endsAt - performance.now();
    this.progress = (done, total, message = "") => {
      // JSON would write NaN as null, and the consumer replaces a process whose messages it cannot read.
      for (const number of [done, total ?? 0])
        if (!(number >= 0 && number <= 2 ** 53)) throw new RangeError(`progress of ${inspect(number)}`);
      send({ progress: { id: start.id, done, total, message: wellFormed(message.slice(0, 1024)) } });
    };
    this.log = (text, level = "info") => {
      for (let at = 0; at < text.length || at === 0; at += DETAIL_MAX)
        send({ log: { id: start.id, level, text: wellFormed(text.slice(at, at + DETAIL_MAX)) } });
    };
    Object.defineProperty(this, "_abort", { value: abort });
  }
}

/** A running process. `serve` makes one. */
class Process {
  constructor(descriptor, handlers, concurrency) {
    this.handlers = handlers;
    this.inFlight = new Map();
    this.socket = new net.Socket({ fd: descriptor, readable: true, writable: true });
    this.socket.on("error", () => {}); // the end of the stream follows
    this.socket.on("close", () => this.end());
    this.receive();
    const alive = () => this.send({ alive: {} });
    setInterval(alive, 0.8 * ALIVE_MS).unref();
    const types = Object.keys(handlers).sort();
    this.send({ hello: { protocol: VERSION, sdk: "node/0.1.0", types, concurrency, alive_ms: ALIVE_MS } });
  }

  send(message) {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  receive() {
    let parts = [];
    this.socket.on("data", (data) => {
      for (let end; (end = data.indexOf(10)) >= 0; data = data.subarray(end + 1)) {
        parts.push(data.subarray(0, end));
        const line = parts.length === 1 ? parts[0] : Buffer.concat(parts);
        parts = [];
        this.take(JSON.parse(line.toString()));
      }
      if (data.length > 0) parts.push(data);
    });
  }

  take(message) {
    if (message.start) void this.run(message.start);
    if (message.cancel) {
      const context = this.inFlight.get(message.cancel.id);
      context?._abort.abort(new Cancelled(message.cancel.why));
    }
  }

  async run(start) {
    const context = new Context(start, (message) => this.inFlight.has(start.id) && this.send(message));
    this.inFlight.set(start.id, context);
    let answer;
    try {
      const handler = this.handlers[start.type];
      if (!handler) throw new Error(`no handler for job type ${inspect(start.type)} in this process`);
      const handled = current.run(context, async () => handler(start.payload, context));
      // The answer says that this place is free, so wait also for a handler that ignores the signal. If
      // it does not end, the consumer replaces this process.
      answer = success(start.id, await handled);
    } catch (error) {
      answer = { failed: { id: start.id, ...describe(error) } };
    }
    this.inFlight.delete(start.id);
    this.send(answer);
  }

  /** The end of the stream: the consumer wants no more, or is gone. */
  end() {
    process.exit(this.inFlight.size === 0 ? 0 : 1);
  }
}

function success(id, result) {
  let text;
  try {
    text = JSON.stringify(result) ?? "null";
  } catch (error) {
    // The work is done: another attempt would repeat it.
    return { failed: { id, message: `the result cannot be written as JSON: ${error.message}`, retry: false } };
  }
  const bytes = Buffer.byteLength(text);
  const cut = bytes > LINE_BYTES_MAX - 1024; // does not fit into a line
  return { done: { id, result: cut ? { polychron_cut: { bytes } } : (result ?? null) } };
}

/** Anything can be thrown, also what cannot be shown. */
function describe(error) {
  try {
    return fieldsOf(error);
  } catch {
    return { message: "the handler threw a value that cannot be shown" };
  }
}

function fieldsOf(error) {
  if (!(error instanceof Error)) return { message: shorten(inspect(error), MESSAGE_MAX) };
  const fields = { message: shorten(String(error.message), MESSAGE_MAX), detail: shorten(inspect(error), DETAIL_MAX) };
  if (error instanceof Fail) return { ...fields, retry: false };
  if (error instanceof Retry && error.after === undefined) return fields;
  if (error instanceof Retry)
    return { ...fields, retry_after_ms: Math.round(Math.min(Math.max(error.after, 0), 3600) * 1000) };
  return { ...fields, kind: shorten(error.constructor.name || "Error", 100) };
}

/** Leaves out the middle: a stack begins with the error and ends with its cause. */
function shorten(text, most) {
  if (text.length > most) text = `${text.slice(0, most / 2)}\n[…]\n${text.slice(-most / 2 + 5)}`;
  return wellFormed(text);
}

/** JSON in UTF-8 cannot have half a character. */
function wellFormed(text) {
  return text.toWellFormed();
}

/** Makes console.log and its like write to the output of the execution that calls them. */
function routeConsole() {
  const levels = { debug: "debug", log: "info", info: "info", warn: "warning", error: "error" };
  for (const [name, level] of Object.entries(levels)) {
    const original = console[name].bind(console);
    console[name] = (...values) => {
      const context = current.getStore();
      return context ? context.log(format(...values), level) : original(...values);
    };
  }
}

export function serve(handlers, { concurrency = 10 } = {}) {
  const descriptor = process.env.POLYCHRON_FD;
  delete process.env.POLYCHRON_FD;
  delete process.env.POLYCHRON_PROTOCOL; // there is one version so far
  if (descriptor === undefined) {
    console.error('POLYCHRON_FD is not set: a consumer must start this program:\n  polychron up --handlers "node …"');
    process.exit(2);
  }
  if (isatty(Number(descriptor))) throw new Error("POLYCHRON_FD is not a socket");
  process.on("SIGINT", () => {}); // it means the consumer
  routeConsole();
  new Process(Number(descriptor), handlers, concurrency);
}

/** Runs one handler once, for tests. */
export async function run(handler, payload, fields = {}) {
  const now = Date.now();
  const start = {
    id: "test", type: "test", tenant: "test", job: "test", attempt: 1, max_attempts: 3, idempotency_key: "test",
    scheduled_for: new Date(now).toISOString(), deadline: new Date(now + 60_000).toISOString(), timeout_ms: 60_000,
    database_url: "sqlite://:memory:", ...fields,
  };
  const result = await handler(JSON.parse(JSON.stringify(payload ?? null)), new Context(start, () => {}));
  return JSON.parse(JSON.stringify(result ?? null));
}
