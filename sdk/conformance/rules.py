"""The list of rules, and a driver that checks every line it receives."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from driver import PATIENCE, Driver

LINE_BYTES_MAX = 1 << 20

Start = Callable[..., "Watched"]
"""Starts a process, with variables for its environment."""


class Violation(Exception):
    """The process does not keep a rule."""


@dataclass
class Rule:
    """A rule of docs/handler-protocol.md, and how to check it."""

    name: str
    text: str
    check: Callable[[Start], None]
    needs: tuple[str, ...]


RULES: list[Rule] = []


def rule(name: str, text: str, *needs: str) -> Callable[[Callable[[Start], None]], None]:
    """Adds a check. `needs` are the job types that it uses."""

    def add(check: Callable[[Start], None]) -> None:
        RULES.append(Rule(name, text, check, needs))

    return add


def must(holds: Any, why: str) -> None:
    """Raises Violation unless it holds."""
    if not holds:
        raise Violation(why)


class Watched(Driver):
    """A driver that checks the form of each message, and the order of hello and answers."""

    def __init__(self, command: list[str], **environment: str) -> None:
        super().__init__(command, **environment)
        self.concurrency = 1
        self.alive_ms: int | None = None
        self.everything = b""
        self._hello: dict[str, Any] | None = None
        self._in_flight: set[str] = set()

    def hello(self) -> dict[str, Any]:
        """Waits for hello, once."""
        if self._hello is None:
            kind, fields = self.message(30)
            must(kind == "hello", f"the first message is {kind}, not hello")
            self._hello = fields
            self.concurrency = fields.get("concurrency") or 1
            self.alive_ms = fields.get("alive_ms")
        return self._hello

    def start_line(self, job_type: str, payload: Any = None, **fields: Any) -> bytes:
        self.hello()
        line = super().start_line(job_type, payload, **fields)
        self._in_flight.add(f"execution-{self._count}")
        return line

    def line(self, within: float = PATIENCE) -> bytes:
        line = super().line(within)
        self.everything += line + b"\n"
        must(len(line) <= LINE_BYTES_MAX, f"a line has {len(line)} bytes")
        return line

    def message(self, within: float = PATIENCE) -> tuple[str, dict[str, Any]]:
        until = time.monotonic() + within
        while True:  # alive does not prolong the wait
            kind, fields = self._checked(self.line(until - time.monotonic()))
            if kind == "hello":
                must(self._hello is None, "a second hello")
            if kind in ("done", "failed"):
                must(fields["id"] in self._in_flight, f"an answer for {fields['id']}, not in flight")
                self._in_flight.remove(fields["id"])
            if kind != "alive":
                return kind, fields

    def _checked(self, line: bytes) -> tuple[str, dict[str, Any]]:
        try:
            text = line.decode()
            message = json.loads(
                text, parse_constant=_no_constant, object_pairs_hook=_without_doubles
            )
        except ValueError as error:
            raise Violation(f"a line is no JSON: {error}") from None
        must(not re.search(r"(?i)(?<!\\)(\\\\)*\\ud[89a-f]", _without_pairs(text)), "a lone surrogate")
        must(isinstance(message, dict) and len(message) == 1, "a message must have one member")
        ((kind, fields),) = message.items()
        must(kind in FORMS, f"a message of the unknown kind {kind!r}")
        must(isinstance(fields, dict), f"the value of {kind} is not an object")
        for name, (required, form) in FORMS[kind].items():
            if fields.get(name) is None:
                must(not required, f"{kind} has no {name}")
            else:
                must(form(fields[name]), f"{kind} has a wrong {name}")
        return kind, fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name appears twice in an object")
    return read


def _without_pairs(text: str) -> str:
    return re.sub(r"(?i)\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", "", text)


def _text(least: int = 0, most: int = 1 << 20) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and least <= len(value) <= most


def _number(least: float, most: float, *kinds: type) -> Callable[[Any], bool]:
    kinds = kinds or (int, float)
    return lambda value: type(value) in kinds and least <= value <= most


def _types(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 1000
        and all(_text(1, 100)(name) and not re.search(r"[\x00-\x1f\x7f-\x9f]", name) for name in value)
        and len(set(value)) == len(value)
    )


_ID = (True, _text(1, 100))
FORMS: dict[str, dict[str, tuple[bool, Callable[[Any], bool]]]] = {
    "hello": {
        "protocol": (True, _number(1, 1 << 31, int)),
        "types": (True, _types),
        "concurrency": (False, _number(1, 1000, int)),
        "alive_ms": (False, _number(1000, 60_000, int)),
        "sdk": (False, _text(0, 100)),
    },
    "progress": {
        "id": _ID,
        "done": (True, _number(0, 1 << 53)),
        "total": (False, _number(0, 1 << 53)),
        "message": (False, _text()),
    },
    "log": {
        "id": _ID,
        "text": (True, _text()),
        "level": (False, ("debug", "info", "warning", "error").__contains__),
    },
    "alive": {},
    "done": {"id": _ID},
    "failed": {
        "id": _ID,
        "message": (True, _text()),
        "kind": (False, _text(0, 100)),
        "detail": (False, _text()),
        "retry": (False, lambda value: isinstance(value, bool)),
        "retry_after_ms": (False, _number(0, float("inf"))),
    },
}
