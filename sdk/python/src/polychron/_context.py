"""What a handler knows about its execution, and what it works with."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from polychron import _database
from polychron._payload import parse_time

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


class Context:
    """The execution that a handler runs for. It ends with the handler; do not keep it."""

    tenant: str
    """The tenant's slug."""
    job: str
    """The job's name."""
    job_type: str
    """The job's type."""
    execution: str
    """The id of this attempt's row."""
    attempt: int
    """1 for the first attempt at the occurrence."""
    max_attempts: int
    """How many attempts the job allows."""
    idempotency_key: str
    """The same for every attempt at this occurrence, and for no other. Pass it to systems in which
    the work must happen once."""
    scheduled_for: datetime
    """The occurrence: when it was planned to run."""
    deadline: datetime
    """When this attempt ends, by the clock of the tenant's database. See `time_left`."""
    database_url: str
    """The tenant's database, with its password."""
    traceparent: str | None
    """The execution's span, as in W3C Trace Context."""

    def __init__(self, start: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        self.execution = start["id"]
        self.job_type = start["type"]
        self.tenant = start["tenant"]
        self.job = start["job"]
        self.attempt = start["attempt"]
        self.max_attempts = start["max_attempts"]
        self.idempotency_key = start["idempotency_key"]
        self.scheduled_for = parse_time(start["scheduled_for"])
        self.deadline = parse_time(start["deadline"])
        self.database_url = start["database_url"]
        self.traceparent = start.get("traceparent")
        self._ends_at: float = time.monotonic() + start["timeout_ms"] / 1000
        self._send = send
        self._cancelled: str | None = None
        self._engine: Engine | None = None
        self._connections: list[Any] = []
        self._resources = contextlib.ExitStack()

    @property
    def time_left(self) -> float:
        """The seconds left until the deadline."""
        return self._ends_at - time.monotonic()

    @property
    def cancelled(self) -> bool:
        """Whether the result is no longer wanted. The handler also gets `Cancelled` raised, unless
        it is in code that Python cannot interrupt."""
        return self._cancelled is not None

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Reports progress, in units of the handler's choice. Call it as often as you like."""
        for number in (done, 0 if total is None else total):
            if not 0 <= number <= 2**53:  # The consumer replaces a process whose messages it cannot read.
                raise ValueError(f"progress of {number!r}")
        fields: dict[str, Any] = {"id": self.execution, "done": done, "message": message[:1024]}
        if total is not None:
            fields["total"] = total
        self._send({"progress": fields})

    def connect(self, **arguments: Any) -> Any:
        """A new connection to this tenant's database: `sqlite3.Connection`, or that of psycopg.

        `arguments` go to the driver's `connect`. The connection is closed when the execution ends;
        what is not committed by then is rolled back. PostgreSQL aborts a statement whose process is
        gone, and one that goes on a second after the deadline.
        """
        connection = _database.connect(self.database_url, arguments, self.time_left)
        self._connections.append(connection)
        self._resources.callback(connection.close)
        return connection

    @property
    def engine(self) -> Engine:
        """A SQLAlchemy engine of this tenant's database, for this execution only."""
        if self._engine is None:
            self._engine = _database.engine(
                self.database_url, self._connections.append, lambda: self.time_left
            )
            self._resources.callback(self._engine.dispose)
        return self._engine

    def session(self, **arguments: Any) -> Session:
        """A SQLAlchemy session in this tenant's database. Commit what is to stay.

        `arguments` go to `sqlalchemy.orm.Session`. The session is closed when the execution ends.
        """
        from sqlalchemy.orm import Session

        session = Session(self.engine, **arguments)
        self._resources.callback(session.close)
        return session

    def _close(self) -> None:
        """Closes what the handler has left open: the next execution may be another tenant's."""
        if self.cancelled:
            for connection in self._connections:
                _database.stop_statement(connection)
        self._connections.clear()
        self._resources.close()
