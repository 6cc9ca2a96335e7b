"""The consumer's end of the handler protocol (docs/handler-protocol.md), for tests.

It starts a handler process, sends lines, and waits for lines with a deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

# The consumer passes the socket as descriptor 3, and so does this program, before it becomes the handler.
_EXEC = """
import os, sys
if sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
    os.close(int(sys.argv[1]))
os.set_inheritable(3, True)
os.execvp(sys.argv[2], sys.argv[2:])
"""

PATIENCE = float(os.environ.get("CONFORMANCE_PATIENCE", "20"))
"""How many seconds to wait for what must come. Only a failing test waits so long."""


class Ended(Exception):
    """The process has closed its socket."""


class Silence(Exception):
    """What was waited for has not come."""


class Driver:
    """A handler process and the consumer's end of its socket."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.output = tempfile.TemporaryFile()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("POLYCHRON_")}
        descriptor = theirs.fileno()
        self.inode = os.fstat(descriptor).st_ino
        names = {"POLYCHRON_FD": "3", "POLYCHRON_PROTOCOL": "1", **environment}
        names = {name: value for name, value in names.items() if value}  # an empty one is left out
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", _EXEC, str(descriptor), *command],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            env={**inherited, **names},
            pass_fds=[descriptor],
            start_new_session=True,
        )
        theirs.close()
        self._received = bytearray()
        self._count = 0

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.socket.close()
        self.output.close()

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message."""
        self.send_raw(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        """Sends bytes. Raises Silence if the process reads nothing."""
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise Silence("the process does not read its socket") from None
        except OSError:
            raise Ended("the process has closed its socket") from None

    def start(self, job_type: str, payload: Any = None, **fields: Any) -> str:
        """Sends a start. Returns the execution's id."""
        self.send_raw(self.start_line(job_type, payload, **fields))
        return f"execution-{self._count}"

    def start_line(self, job_type: str, payload: Any = None, **fields: Any) -> bytes:
        """The line of a start."""
        self._count += 1
        start = {
            "id": f"execution-{self._count}",
            "type": job_type,
            "tenant": "acme",
            "job": "conformance",
            "attempt": 1,
            "max_attempts": 3,
            "idempotency_key": f"acme/conformance/{self._count}",
            "scheduled_for": "2026-12-01T02:00:00.25Z",
            "deadline": "2026-12-01T02:30:00Z",
            "timeout_ms": 1_800_000,
            "payload": payload,
            "database_url": "sqlite:///nonexistent/acme.db",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            **fields,
        }
        return json.dumps({"start": start}, ensure_ascii=False).encode() + b"\n"

    def cancel(self, execution: str, why: str = "request") -> None:
        """Sends a cancel."""
        self.send({"cancel": {"id": execution, "why": why, "grace_ms": 2000}})

    def line(self, within: float = PATIENCE) -> bytes:
        """The next line, without its end. Raises Ended or Silence."""
        until = time.monotonic() + within
        while b"\n" not in self._received:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise Silence("what must come next has not come in time")
            try:
                part = self.socket.recv(1 << 16)
            except ConnectionError:
                part = b""
            if not part:
                raise Ended("the process has closed its socket")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return bytes(line)

    def message(self, within: float = PATIENCE) -> tuple[str, dict[str, Any]]:
        """The next message but `alive`: its kind and its fields."""
        until = time.monotonic() + within
        while True:  # alive does not prolong the wait
            ((kind, fields),) = json.loads(self.line(until - time.monotonic())).items()
            if kind != "alive":
                return kind, fields

    def answer(self, within: float = PATIENCE) -> tuple[str, dict[str, Any]]:
        """The next `done` or `failed`. Skips progress and log."""
        until = time.monotonic() + within
        while True:
            kind, fields = self.message(until - time.monotonic())
            if kind in ("done", "failed"):
                return kind, fields

    def run(self, job_type: str, payload: Any = None, **fields: Any) -> tuple[str, dict[str, Any]]:
        """Starts an execution and waits for its answer."""
        self.start(job_type, payload, **fields)
        return self.answer()

    def close(self) -> None:
        """Ends the stream to the process."""
        self.socket.shutdown(socket.SHUT_WR)

    def exit_status(self, within: float = PATIENCE) -> int:
        """Waits for the process. Raises Silence if it goes on."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise Silence(f"the process has not exited within {within:g} s") from None

    def printed(self) -> str:
        """What it has written to its standard streams so far."""
        size = os.fstat(self.output.fileno()).st_size
        return os.pread(self.output.fileno(), size, 0).decode(errors="replace")
