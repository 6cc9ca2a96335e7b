"""A handler process that keeps the protocol, except for the fault that its argument names. The tests of
the conformance program show with it that each check can fail."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
if "POLYCHRON_FD" not in os.environ:
    sys.exit(0 if FAULT == "starts alone" else 2)
fd = int(os.environ["POLYCHRON_FD"])
version = max(int(one) for one in os.environ.get("POLYCHRON_PROTOCOL", "1").split())
os.set_inheritable(fd, FAULT == "inherited socket")
if FAULT != "inherited variable":
    os.environ.pop("POLYCHRON_FD")
    os.environ.pop("POLYCHRON_PROTOCOL", None)
signal.signal(signal.SIGINT, signal.SIG_DFL if FAULT == "SIGINT" else signal.SIG_IGN)
channel = socket.socket(fileno=fd)
lock = threading.Lock()
cancelled: dict[str, threading.Event] = {}
kept: dict[str, Any] = {}
TYPES = ["echo", "fail", "retry", "progress", "print", "run", "large", "context", "wait"]
PLAIN = {"id", "type", "tenant", "job", "attempt", "max_attempts", "idempotency_key", "scheduled_for"}
PLAIN |= {"deadline", "timeout_ms", "payload", "database_url", "traceparent"}


def send(message: dict[str, Any]) -> None:
    line = json.dumps(message, ensure_ascii=FAULT != "not UTF-8").encode("latin-1", "replace") + b"\n"
    if FAULT == "half lines":  # as of threads without a lock
        line = line[: len(line) // 2] + b"\n" + line[len(line) // 2 :]
    if FAULT == "empty lines":
        line += b"\n"
    with lock:
        channel.sendall(line)


def progress(start: dict[str, Any]) -> None:
    send({"progress": {"id": start["id"], "done": 1}})


def handle(start: dict[str, Any]) -> Any:
    payload = start["payload"]
    match start["type"]:
        case "echo":
            return kept.setdefault("echo", payload) if FAULT == "keeps a payload" else payload
        case "progress":
            progress(start)
        case "print":
            if FAULT == "no flush":
                threading.Timer(0.5, print, [payload["text"]]).start()
            else:
                print(payload["text"], flush=True)
        case "run":
            ran = subprocess.run(payload["argv"], capture_output=True, text=True, close_fds=False)
            return ran.stdout
        case "large":
            return "x" * payload["bytes"]
        case "context":
            return kept.setdefault("start", start) if FAULT == "keeps a tenant" else start
        case "wait":
            progress(start)
            cancelled[start["id"]].wait(payload["seconds"])


def success(start: dict[str, Any]) -> dict[str, Any]:
    result = handle(start)
    size = len(json.dumps(result))
    if size > 1_048_000 and FAULT != "long line":
        result = {"polychron_cut": {"bytes": size}}
    if size > 1_048_000 and FAULT == "large result fails":
        return {"failed": {"id": start["id"], "message": "too large"}}
    return {"done": {"id": start["id"], "result": result}}


def failure(start: dict[str, Any]) -> dict[str, Any]:
    payload, failed = start["payload"], {"id": start["id"]}
    if start["type"] not in TYPES:
        return {"failed": {**failed, "message": f"{start}" if FAULT == "quotes" else "unknown type"}}
    failed["message"] = payload["message"] + "x" * payload.get("message_bytes", 0)
    if FAULT != "long error":
        failed["message"] = failed["message"][:4000]
    if FAULT == "quotes":
        failed["detail"] = f"{start}"
    if payload.get("retry") is False and FAULT != "always retries":
        failed["retry"] = False
    if "after_ms" in payload:
        failed["retry_after_ms"] = payload["after_ms"] // (1000 if FAULT == "seconds" else 1)
    return {"failed": failed}


def run(start: dict[str, Any]) -> None:
    known = start["type"] in TYPES and start["type"] not in ("fail", "retry")
    send(success(start) if known else failure(start))
    if FAULT == "answers twice":
        send({"done": {"id": start["id"]}})
    if FAULT == "second hello":
        send(hello)
    cancelled.pop(start["id"])


def alive() -> None:
    while True:
        time.sleep(0.8)
        if FAULT != "silent" or not cancelled:
            send({"alive": {}})


def take(message: dict[str, Any]) -> None:
    (kind, fields), *_ = message.items()
    if kind == "start":
        if FAULT == "strict fields" and fields.keys() - PLAIN:
            sys.exit("unknown field")
        cancelled[fields["id"]] = threading.Event()
        if FAULT == "reads between handlers only":
            run(fields)
        else:
            threading.Thread(target=run, args=[fields], daemon=True).start()
    elif kind == "cancel":
        if fields["id"] not in cancelled and FAULT == "strict cancels":
            sys.exit("not in flight")
        if FAULT != "ignores cancels" and fields["id"] in cancelled:
            cancelled[fields["id"]].set()
    elif FAULT == "strict kinds":
        sys.exit("unknown kind")


hello: dict[str, Any] = {"hello": {"protocol": 1, "types": TYPES, "concurrency": 1, "alive_ms": 1000}}
if FAULT == "newest version":
    hello["hello"]["protocol"] = version
if FAULT == "alive first":
    send({"alive": {}})
    send({"progress": {"id": "x", "done": 1}})
if FAULT == "wrong hello":
    hello["hello"]["concurrency"] = "1"
send(hello)
threading.Thread(target=alive, daemon=True).start()
received = b""
while part := channel.recv(1 << 16):
    received += part
    if FAULT == "one read is one message":
        lines, received = [received], b""
    else:
        *lines, received = received.split(b"\n")
    for line in lines:
        take(json.loads(line))
if FAULT == "stays":
    time.sleep(600)
if cancelled and FAULT == "finishes alone":
    time.sleep(600)
os._exit(1 if FAULT == "wrong status" else 0)
