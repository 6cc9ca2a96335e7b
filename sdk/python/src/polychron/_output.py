"""Sends what handlers print and log to their executions' output.

With one execution at a time, the standard streams are its output. With several, lines are sent as
`log` messages of the execution that the current thread or asyncio task belongs to.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TextIO, cast

Log = Callable[[str, str], None]
"""Appends a text with a level to an execution's output."""

current: ContextVar[Log | None] = ContextVar("polychron_log", default=None)
"""Where the output of the current thread or task goes; None for the process's own streams."""

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


def route_streams() -> None:
    """Makes `print` send lines to the current execution."""
    sys.stdout = cast("TextIO", _Stream(sys.stdout))
    sys.stderr = cast("TextIO", _Stream(sys.stderr))


def route_logging(level: str) -> None:
    """Writes log records to the output, unless the application writes them to a stream already."""
    root = logging.getLogger()
    if any(type(handler) is logging.StreamHandler for handler in root.handlers):
        return
    root.addHandler(_Handler())
    if root.level in (logging.NOTSET, logging.WARNING):  # the default
        root.setLevel(level.upper())


def flush() -> None:
    """Hands on what is still in Python's buffers."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a handler may have closed it
            stream.flush()


class _Handler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            log = current.get()
            if log is None:
                print(f"{record.levelname} {text}", file=sys.stderr, flush=True)
            else:
                log(next((name for at, name in _LEVELS if record.levelno >= at), "debug"), text)
        except Exception:
            self.handleError(record)


class _Stream(io.TextIOBase):
    """Sends whole lines to the current execution; otherwise, writes to the original stream."""

    def __init__(self, original: TextIO) -> None:
        self._original = original
        self._incomplete: ContextVar[str] = ContextVar("polychron_line", default="")

    def write(self, text: str) -> int:
        log = current.get()
        if log is None:
            return self._original.write(text)
        whole, end, rest = (self._incomplete.get() + text).rpartition("\n")
        self._incomplete.set(rest)
        if end:
            log("info", whole)
        return len(text)

    def flush(self) -> None:
        log, rest = current.get(), self._incomplete.get()
        if log is None:
            self._original.flush()
        elif rest:
            self._incomplete.set("")
            log("info", rest)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._original.fileno()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding
