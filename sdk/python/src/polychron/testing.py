"""Tests of handlers.

`run` calls one handler as a consumer would, in this process. `engine` runs whole jobs on the
embedded engine, which needs the program `polychron` on the `PATH` or in `POLYCHRON_PROGRAM`.
"""

from __future__ import annotations

import contextlib
import datetime
import inspect
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polychron._channel import encode
from polychron._context import Context
from polychron._registry import Handler

_START_SECONDS = 30
_numbers = itertools.count(1)


class FakeContext(Context):
    """A context for tests. Records the progress that the handler reports.

    `fields` replace those of the protocol's message `start`, such as `tenant` or `attempt`.
    """

    def __init__(self, *, timeout: float = 60, **fields: Any) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        number = next(_numbers)
        start = {
            "id": f"test-{number}",
            "type": "test",
            "tenant": "test",
            "job": "test",
            "attempt": 1,
            "max_attempts": 3,
            "idempotency_key": f"test/{number}",
            "scheduled_for": now.isoformat(),
            "deadline": (now + datetime.timedelta(seconds=timeout)).isoformat(),
            "timeout_ms": timeout * 1000,
            "database_url": "sqlite://:memory:",
        }
        unknown = fields.keys() - start.keys()
        if unknown:
            raise TypeError(f"a context has no {', '.join(sorted(unknown))}")
        self.reported: list[dict[str, Any]] = []
        """The progress, each with `done`, `message` and perhaps `total`."""
        super().__init__({**start, **fields}, self._record)

    def _record(self, message: dict[str, Any]) -> None:
        fields = message.get("progress", {})
        self.reported.append({name: fields[name] for name in fields if name != "id"})

    def cancel(self) -> None:
        """Makes `cancelled` true."""
        self._cancelled = "request"


def run(
    handler: Callable[..., Any],
    payload: Any = None,
    ctx: FakeContext | None = None,
    **fields: Any,
) -> Any:
    """Runs a handler once, and returns its result as it would be stored.

    The payload is converted to the type of the handler's annotation, as a consumer's would be: it
    may be JSON, or what the handler takes. Raises what the handler raises, and PayloadError.
    `fields` are those of FakeContext: `run(report, {}, database_url="sqlite:///tmp/acme.db")`.
    """
    context = FakeContext(**fields) if ctx is None else ctx
    wrapped = Handler(handler)
    wrapped.prepare()
    arguments = wrapped.arguments(json.loads(encode(payload)), context)
    try:
        result = handler(*arguments)
        if inspect.iscoroutine(result):
            import asyncio

            result = asyncio.run(result)
        return json.loads(encode(result))
    finally:
        context._close()


@dataclass(frozen=True)
class Execution:
    """How an execution ended."""

    status: str
    """`success`, `failed`, `cancelled` or `skipped`."""
    result: Any
    """What the handler returned."""
    output: str
    """What it printed and logged."""
    error_kind: str | None
    """Why it did not succeed: `handler`, `timeout`, `crash`, …"""
    error_message: str | None
    """The error in a sentence."""
    error_detail: str | None
    """The traceback."""


class Tenant:
    """A tenant of the engine, with a database of its own."""

    def __init__(self, engine: Engine, slug: str) -> None:
        self.slug = slug
        """The tenant's name."""
        self._engine = engine

    @property
    def database(self) -> Path:
        """The file of its SQLite database."""
        return self._engine.folder / "tenants" / f"{self.slug}.db"

    def run(
        self, job_type: str, payload: Any = None, *, max_attempts: int = 1, timeout: int = 60
    ) -> Execution:
        """Runs a job of this type once, and waits for its end. `timeout` is that of the job, in seconds."""
        job = f"test-{next(_numbers)}"
        polychron = self._engine.polychron
        # A schedule that is not due while the test runs.
        polychron(
            "job", "add", self.slug, job, "--type", job_type, "--every", "365d",
            "--max-attempts", str(max_attempts), "--timeout", f"{timeout}s",
            "--payload", encode({} if payload is None else payload).decode(),
        )  # fmt: skip
        polychron("job", "run", self.slug, job, "--wait", may_fail=True)
        rows = json.loads(polychron("execution", "list", self.slug, "--job", job))
        found = json.loads(polychron("execution", "show", self.slug, str(rows[0]["id"])))
        return Execution(
            status=found["status"],
            result=found["result"],
            output=found["output"] or "",
            error_kind=found["error_kind"],
            error_message=found["error_message"],
            error_detail=found["error_detail"],
        )


class Engine:
    """A running embedded engine."""

    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        """The folder of its databases."""
        self._program = program

    def add_tenant(self, slug: str) -> Tenant:
        """Adds a tenant with an SQLite database."""
        tenant = Tenant(self, slug)
        self.polychron("tenant", "add", slug, TENANT_DATABASE_URL=f"sqlite://{tenant.database}")
        return tenant

    def polychron(self, *arguments: str, may_fail: bool = False, **environment: str) -> str:
        """Runs `polychron` with these arguments. Returns its output, which is JSON."""
        control = f"sqlite://{self.folder / 'control.db'}"
        ended = subprocess.run(
            [self._program, "-o", "json", *arguments],
            capture_output=True,
            text=True,
            env={**_environment(), "DATABASE_URL": control, **environment},
        )
        if ended.returncode != 0 and not may_fail:
            raise RuntimeError(f"polychron {' '.join(arguments[:2])}: {ended.stderr.strip()}")
        return ended.stdout


@contextlib.contextmanager
def engine(
    *modules: str,
    arguments: Sequence[str] = (),
    others: Sequence[str] = (),
    program: str | None = None,
) -> Iterator[Engine]:
    """Runs whole jobs in tests: starts the embedded engine with the handlers in `modules`.

        with engine("app.jobs") as polychron:
            acme = polychron.add_tenant("acme")
            assert acme.run("report", {"month": "2026-11"}).result == {"pages": 12}

    `arguments` are further ones of `python -m polychron`, such as `["--flask", "app:create_app"]`.
    `others` are handler commands in other languages.
    """
    program = program or os.environ.get("POLYCHRON_PROGRAM") or shutil.which("polychron")
    if program is None:
        raise RuntimeError("the program `polychron` is neither on the PATH nor in POLYCHRON_PROGRAM")
    command = shlex.join([sys.executable, "-m", "polychron", *modules, *arguments])
    handlers = "\n".join([command, *others])
    with tempfile.TemporaryDirectory(prefix="polychron-") as name, tempfile.TemporaryFile() as log:
        folder = Path(name).resolve() / "data"
        process = subprocess.Popen(
            [program, "up", "--data", str(folder), "--no-dashboard", "--handlers", handlers],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        try:
            started = Engine(folder, program)
            _wait_until_ready(started, process, log.fileno())
            yield started
        finally:
            process.terminate()
            process.wait()


def _wait_until_ready(engine: Engine, process: subprocess.Popen[bytes], log: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(RuntimeError):
            engine.polychron("tenant", "list")
            return
        if process.poll() is not None or time.monotonic() > until:
            printed = os.pread(log, os.fstat(log).st_size, 0).decode(errors="replace")
            raise RuntimeError(f"the engine has not started:\n{printed[-4000:]}")
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    """This process's environment without settings of an installation."""
    mine = ("POLYCHRON_", "DATABASE_URL", "AMQP_URL", "TENANT_DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(mine)}
