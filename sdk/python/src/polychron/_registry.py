"""Which function handles which job type."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from polychron._context import Context
from polychron._payload import read

F = TypeVar("F", bound=Callable[..., Any])

_handlers: dict[str, Handler] = {}


class Handler:
    """A function that handles a job type."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        parameters = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        required = [one for one in parameters if one.default is one.empty]
        if len(required) > 2:
            raise TypeError(f"{self.name} must take a payload and a context, and nothing else")
        self._parameters = [one.name for one in parameters[:2]]
        self._payload_type: Any = Any
        self._takes_context_only = False

    @property
    def name(self) -> str:
        """Where the function is, for people."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def prepare(self) -> None:
        """Resolves the annotations. They may name what the module defines after the handler."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        if self._parameters:
            first = self._parameters[0]
            self._takes_context_only = len(self._parameters) == 1 and (
                first in ("ctx", "context") or hints.get(first) is Context
            )
            self._payload_type = hints.get(first, Any)

    def arguments(self, payload: Any, context: Context) -> tuple[Any, ...]:
        """What the function is called with.

        Raises `PayloadError` if the payload is not of the annotated type.
        """
        if not self._parameters:
            return ()
        if self._takes_context_only:
            return (context,)
        value = read(self._payload_type, payload)
        return (value, context)[: len(self._parameters)]


def job(job_type: str) -> Callable[[F], F]:
    """Makes a function the handler of a job type.

    The function takes the payload and the context (or only one of them, or nothing) and returns the
    result, which is stored as JSON. It may be `async`. The payload is converted to the type of its
    annotation: a dataclass, a `TypedDict`, a pydantic model, or anything that `typing` can say.
    """
    if not isinstance(job_type, str) or not 1 <= len(job_type) <= 100:
        raise TypeError('a job type is a text of 1 to 100 characters: write @job("report")')

    def register(function: F) -> F:
        handler = Handler(function)
        other = _handlers.get(job_type)
        # A module that is loaded again replaces its own handlers.
        if other is not None and other.name != handler.name:
            raise ValueError(f"job type {job_type!r} is handled by both {other.name} and {handler.name}")
        _handlers[job_type] = handler
        return function

    return register


def handlers() -> dict[str, Handler]:
    """All handlers by job type."""
    return dict(_handlers)
