"""One check for each rule of docs/handler-protocol.md."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from driver import Ended, Silence
from rules import Start, Watched, must, rule

STRANGE = "ü € 😀 \u2028 \x00 \x7f \\ \" / <&>' %s $HOME `id`"
SECRET = "correct-horse-battery-staple"


def is_echo(answer: tuple[str, dict[str, Any]], payload: Any) -> None:
    kind, fields = answer
    must(kind == "done", f"echo answered {kind} {str(fields)[:300]}")
    must(fields.get("result") == payload, f"echo of {str(payload)[:80]!r} is {str(fields)[:300]}")


@rule("P9", "alive is sent as promised, also while a handler runs", "wait")
def alive(start: Start) -> None:
    process = start()
    promise = process.hello().get("alive_ms")
    if promise is None:
        return
    process.start("wait", {"seconds": 600})
    until = time.monotonic() + 1.5 * promise / 1000
    last, count = time.monotonic(), 0
    while time.monotonic() < until or count == 0:
        try:
            process.line(promise / 1000 + 1)
        except Silence:
            must(False, f"no message for {time.monotonic() - last:.0f} s; alive_ms is {promise}")
        last, count = time.monotonic(), count + 1


@rule("P1", "lines are whole and well formed", "echo")
def whole_lines(start: Start) -> None:
    pour(start(), 100, ["echo"])


@rule("P1", "progress and answers of several executions do not mix", "echo", "progress")
def whole_lines_of_several(start: Start) -> None:
    process = start()
    pour(process, 200, ["echo", "progress"])
    process.start("progress", {})
    must(process.message()[0] == "progress", "the job type progress must report progress")


def pour(process: Watched, count: int, types: list[str]) -> None:
    process.hello()
    waiting: set[str] = set()
    for number in range(count):
        if len(waiting) == process.concurrency:
            waiting.remove(process.answer()[1]["id"])
        waiting.add(process.start(types[number % len(types)], {"text": STRANGE * 50}))
    while waiting:
        waiting.remove(process.answer()[1]["id"])


@rule("P2", "programs that a handler starts have neither the socket nor its variables", "run")
def inheritance(start: Start) -> None:
    process = start()
    script = "echo ${POLYCHRON_FD-unset}${POLYCHRON_PROTOCOL-unset}; ls -l /proc/self/fd"
    _, fields = process.run("run", {"argv": ["sh", "-c", script]})
    printed = str(fields.get("result"))
    must("unsetunset" in printed, "POLYCHRON_FD or POLYCHRON_PROTOCOL is in the environment of a child")
    must(f"socket:[{process.inode}]" not in printed, "a child has inherited the socket")


@rule("P3", "unknown fields and kinds are ignored, and optional fields may be absent", "echo")
def the_unknown(start: Start) -> None:
    process = start()
    process.hello()
    process.send({"later_version": {"id": 7}})
    is_echo(process.run("echo", 1, later_field={"a": [1]}), 1)
    is_echo(process.run("echo", 2, traceparent=None), 2)
    kind, _ = process.run("conformance-unknown-type", None)
    must(kind == "failed", "a job type that the process does not have was not answered with failed")
    is_echo(process.run("echo", 3), 3)


@rule("P4", "a cancel is seen while a handler runs", "wait")
def cancel_while_busy(start: Start) -> None:
    process = start()
    for why in ("timeout", "request", "lease_lost", "shutdown", "of_a_later_version"):
        execution = running(process)
        process.cancel(execution, why)
        process.answer(2)


@rule("P5", "hello comes first and once, within 30 s", "echo")
def hello_first(start: Start) -> None:
    process = start()
    process.hello()
    for number in range(3):  # a second hello would be noticed here
        is_echo(process.run("echo", number), number)
    alone = start(POLYCHRON_FD="")
    must(alone.exit_status() != 0, "without POLYCHRON_FD it exits with status 0")


@rule("P6", "each start is answered once, whatever the payload", "echo", "fail")
def answers(start: Start) -> None:
    process = start()
    payloads = [None, 0, -1.5, True, "", STRANGE, [], {}, {"a": {"b": [1, {"c": None}]}}, 2**53]
    for payload in payloads:
        is_echo(process.run("echo", payload), payload)
    is_echo(process.run("echo", "x" * 900_000), "x" * 900_000)
    line = process.start_line("echo", STRANGE)
    for at in range(0, len(line), 7):  # it comes in parts
        process.send_raw(line[at : at + 7])
    is_echo(process.answer(), STRANGE)
    text = STRANGE.replace("\0", "")  # which a shell cannot hold
    failed(process, "fail", {"message": text}, retry=True, message=text)
    failed(process, "fail", {"message": "no", "retry": False}, retry=False)
    is_echo(process.run("echo", "still there"), "still there")


@rule("P6", "a handler can set the delay of the next attempt", "retry")
def delay(start: Start) -> None:
    failed(start(), "retry", {"message": "no", "after_ms": 1500}, retry=True, retry_after_ms=1500)


def failed(process: Watched, job_type: str, payload: dict[str, Any], **expected: Any) -> None:
    kind, fields = process.run(job_type, payload)
    must(kind == "failed", f"{job_type} answered {kind}")
    fields["retry"] = fields.get("retry") is not False
    for name, value in expected.items():
        found = fields.get(name)
        right = value in found if name == "message" else found == value
        must(right, f"{job_type} with {payload} has {name} {found!r}")


@rule("P7", "the process exits with status 0 at the end of the stream", "echo")
def end_of_stream(start: Start) -> None:
    process = start()
    is_echo(process.run("echo", 1), 1)
    process.close()
    status = process.exit_status(5)
    must(status == 0, f"the exit status is {status}")
    at_once = start()
    at_once.hello()
    at_once.close()
    must(at_once.exit_status(5) == 0, "the exit status before the first start is not 0")


@rule("P8", "hello names the highest common version")
def versions(start: Start) -> None:
    for offer in ("1", "1 2 3", "1000001", ""):
        process = start(POLYCHRON_PROTOCOL=offer)
        spoken = process.hello()["protocol"]
        must(spoken == 1, f"if the consumer speaks {offer or 'no version that it names'}: {spoken}")


@rule("P10", "a result that does not fit into a line is cut", "large")
def large_result(start: Start) -> None:
    process = start()
    for size in (1_040_000, 2_000_000):
        kind, fields = process.run("large", {"bytes": size})
        must(kind == "done", f"a large result is answered with {kind}: the work would be repeated")
        if fields["result"] != "x" * size:
            cut = fields["result"].get("polychron_cut", {}).get("bytes", 0)
            must(size <= cut <= size + 2, f"polychron_cut names {cut} bytes")


@rule("P11", "an error that does not fit into a line is shortened", "fail")
def large_error(start: Start) -> None:
    process = start()
    kind, fields = process.run("fail", {"message": "begin", "message_bytes": 3_000_000})
    must(kind == "failed" and fields["message"].startswith("begin"), f"it answered {kind}")


@rule("P12", "nothing of one execution is left in the next one", "context")
def tenants(start: Start) -> None:
    process = start()
    for tenant, attempt in (("acme", 1), ("globex", 2)):
        expected = {
            "tenant": tenant,
            "job": f"job-{tenant}",
            "attempt": attempt,
            "max_attempts": 5,
            "idempotency_key": f"{tenant}/x/1",
            "database_url": f"postgres://{tenant}:pw@db/{tenant}?sslmode=require",
        }
        kind, fields = process.run("context", None, **expected)
        must(kind == "done", f"context answered {kind}")
        for name, value in expected.items():
            found = fields["result"].get(name)
            must(found == value, f"{name} of {tenant} is {found!r}")


@rule("P13", "the start is not disclosed in errors or output", "fail")
def secrets(start: Start) -> None:
    process = start()
    url = f"postgres://acme:{SECRET}@db.invalid/acme"
    process.run("fail", {"message": "no", "token": SECRET}, database_url=url)
    process.run("conformance-unknown-type", {"token": SECRET}, database_url=url)
    must(SECRET.encode() not in process.everything, "a message contains a secret of the start")
    must(SECRET not in process.printed(), "the output contains a secret of the start")


@rule("P14", "a cancelled execution is answered once; other cancels are ignored", "echo", "wait")
def cancels(start: Start) -> None:
    process = start()
    process.hello()
    process.cancel("not-in-flight")
    is_echo(process.run("echo", 1), 1)
    for _ in range(20):  # also at moments when the handler is just starting
        execution = process.start("wait", {"seconds": 600})
        process.cancel(execution)
        process.cancel(execution)
        must(process.answer(2)[1]["id"] == execution, "another execution was answered")
        process.cancel(execution)
        is_echo(process.run("echo", 2), 2)


@rule("P15", "output is flushed before the answer", "print")
def output(start: Start) -> None:
    process = start()
    process.hello()
    for number in range(10):
        text = f"line {number} {STRANGE}".replace("\0", "")
        process.start("print", {"text": text})
        log, (kind, fields) = "", process.message()
        while kind not in ("done", "failed"):
            log += fields["text"] if kind == "log" else ""
            kind, fields = process.message()
        must(kind == "done", f"print answered {kind} {str(fields)[:300]}")
        where = process.printed() if process.concurrency == 1 else log
        must(text in where, f"the output of execution {number} was not there when it was answered")


@rule("P16", "SIGINT is ignored", "echo")
def interrupt(start: Start) -> None:
    process = start()
    is_echo(process.run("echo", 1), 1)
    os.killpg(process.process.pid, signal.SIGINT)
    is_echo(process.run("echo", 2), 2)


@rule("P17", "the process ends if the consumer is gone while a handler runs", "wait")
def consumer_gone(start: Start) -> None:
    process = start()
    running(process)
    process.close()
    try:
        while True:  # an answer may still come
            process.message(5)
    except Ended:
        process.exit_status(5)


def running(process: Watched) -> str:
    """Starts a handler that waits, and returns when it does."""
    execution = process.start("wait", {"seconds": 600})
    kind, _ = process.message()
    must(kind in ("progress", "log"), f"the job type wait must report progress, then wait; it sent {kind}")
    return execution
