"""What a handler raises, and how errors are reported."""

from __future__ import annotations

import traceback
from datetime import timedelta
from types import TracebackType
from typing import Any

# The consumer keeps as much. More could not fit into a line of the protocol.
_MESSAGE_CHARACTERS_MAX = 8 * 1024
_DETAIL_CHARACTERS_MAX = 64 * 1024

CALLERS = ("call", "_driven")
"""Functions of this package that call handlers. What is above them in a traceback is left out."""


class Fail(Exception):
    """The attempt failed, and another one would fail in the same way: do not retry."""


class Retry(Exception):
    """The attempt failed; try again, as often as the job's `max_attempts` allows.

    `after` is the delay of the next attempt in seconds (an hour at most), instead of the job's
    backoff.
    """

    def __init__(
        self,
        message: str = "the handler asked for a retry",
        *,
        after: float | timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.after = after.total_seconds() if isinstance(after, timedelta) else after


class PayloadError(Exception):
    """The payload is not what the handler's annotation says. The message names the place."""


class Cancelled(BaseException):
    """Raised in a handler when its result is no longer wanted.

    `why` is `timeout`, `request`, `lease_lost` or `shutdown`. The handler has about two seconds to
    clean up (0.2 after `lease_lost`); then its process is killed. Not an `Exception`, so that
    `except Exception` does not swallow it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def describe(error: BaseException) -> dict[str, Any]:
    """The fields of the message `failed`, without `id`."""
    fields: dict[str, Any] = {"message": _shorten(str(error), _MESSAGE_CHARACTERS_MAX)}
    if isinstance(error, Fail):
        fields["retry"] = False
    elif isinstance(error, Retry):
        if error.after is not None:
            fields["retry_after_ms"] = max(0, round(min(error.after, 3600) * 1000))
    elif not isinstance(error, PayloadError):
        fields["kind"] = _shorten(type(error).__qualname__, 100)
    if not isinstance(error, PayloadError):
        lines = traceback.format_exception(type(error), error, _without_sdk(error.__traceback__))
        fields["detail"] = _shorten("".join(lines), _DETAIL_CHARACTERS_MAX)
    return fields


def _without_sdk(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the handler; all of it if there is no such part."""
    package = __name__.rpartition(".")[0]
    handler = None
    step = trace
    while step is not None:
        frame = step.tb_frame
        ours = str(frame.f_globals.get("__name__", "")).startswith(f"{package}._")
        if ours and frame.f_code.co_name in CALLERS:
            handler = step.tb_next
        step = step.tb_next
    return handler or trace


def _shorten(text: str, most: int) -> str:
    """Leaves out the middle: a traceback begins with the cause and ends with the error."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2 - 3]}\n[…]\n{text[-(most // 2 - 3) :]}"
