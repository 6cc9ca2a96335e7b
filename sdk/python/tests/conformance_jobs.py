"""The handlers that sdk/conformance needs."""

import subprocess
import time
from typing import Any

from polychron import Context, Fail, Retry, job


@job("echo")
def echo(payload: Any) -> Any:
    return payload


@job("fail")
def fail(payload: dict[str, Any]) -> None:
    message = payload["message"] + "x" * payload.get("message_bytes", 0)
    if payload.get("retry") is False:
        raise Fail(message)
    raise ValueError(message)


@job("retry")
def retry(payload: dict[str, Any]) -> None:
    raise Retry(payload["message"], after=payload["after_ms"] / 1000)


@job("progress")
def progress(payload: dict[str, Any], ctx: Context) -> None:
    ctx.progress(1, 2, payload.get("text", ""))


@job("print")
def print_text(payload: dict[str, str]) -> None:
    print(payload["text"])


@job("run")
def run(payload: dict[str, list[str]]) -> str:
    return subprocess.run(payload["argv"], capture_output=True, text=True, check=True).stdout


@job("large")
def large(payload: dict[str, int]) -> str:
    return "x" * payload["bytes"]


@job("context")
def context(ctx: Context) -> dict[str, Any]:
    names = ["tenant", "job", "attempt", "max_attempts", "idempotency_key", "database_url"]
    return {name: getattr(ctx, name) for name in names}


@job("wait")
def wait(payload: dict[str, float], ctx: Context) -> None:
    ctx.progress(0)
    until = time.monotonic() + payload["seconds"]
    while time.monotonic() < until:
        time.sleep(1)
