"""The socket to the consumer: JSON, one message a line (docs/handler-protocol.md)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

LINE_BYTES_MAX = 1 << 20
VERSION = 1
# The id is the first field of a start message.
_START = re.compile(rb'\{\s*"start"\s*:\s*\{\s*"id"\s*:\s*"([^"\\]+)"')


class Channel:
    """One end of the socket. Any thread may send; one thread receives."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._socket.set_inheritable(False)
        self._lock = threading.Lock()
        self._sent_at = time.monotonic()
        os.register_at_fork(after_in_child=self._forked)

    @classmethod
    def from_environment(cls) -> Channel | None:
        """The channel that the consumer has opened; None if no consumer started this process.

        Takes it out of the environment, so that no other program inherits it.
        """
        descriptor = os.environ.pop("POLYCHRON_FD", None)
        os.environ.pop("POLYCHRON_PROTOCOL", None)  # there is one version so far
        return None if descriptor is None else cls(int(descriptor))

    def _forked(self) -> None:
        # A child that is forked without exec would hold the socket open, and could write to it. Another
        # thread of the parent may have held the lock, and does not exist in the child.
        self._socket.close()
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message. Raises ValueError if it is not JSON or does not fit into a line."""
        line = encode(message)
        if len(line) > LINE_BYTES_MAX:
            raise ValueError("the message does not fit into a line of the handler protocol")
        # If the consumer is gone, the reader sees the end of the stream and ends the process.
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(line + b"\n")
            self._sent_at = time.monotonic()

    def receive(self, alive_every: float) -> Iterator[dict[str, Any]]:
        """The consumer's messages until the end of the stream.

        Meanwhile, sends `alive` whenever nothing else was sent for `alive_every` seconds.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        received = bytearray()
        while True:
            quiet_for = time.monotonic() - self._sent_at
            if quiet_for >= alive_every:
                self.send({"alive": {}})
                continue
            if not poll.poll((alive_every - quiet_for) * 1000):
                continue
            part = self._receive()
            if not part:
                return
            received += part
            if b"\n" in part:
                *lines, received = received.split(b"\n")
                yield from map(_decode, lines)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(1 << 16)
        except ConnectionError:
            return b""


def _decode(line: bytes | bytearray) -> dict[str, Any]:
    """The message of a line. One whose payload Python cannot parse, such as a number of 5000 digits, becomes
    `unreadable`: only its own execution fails, not the process with all the others."""
    try:
        message: dict[str, Any] = json.loads(line)
        return message
    except (ValueError, RecursionError) as error:
        start = _START.match(line)
        if start is None:
            raise
        return {"unreadable": {"id": start[1].decode(), "why": f"the payload cannot be read: {error}"}}


def encode(value: Any) -> bytes:
    """JSON in UTF-8. Characters that UTF-8 cannot encode (lone surrogates) become `?`.

    Raises ValueError for NaN and for what refers to itself, TypeError for what JSON cannot express.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_encode_more)
    return text.encode("utf-8", "replace")


def _encode_more(value: Any) -> Any:
    """What results often contain, and JSON does not know."""
    import dataclasses
    import datetime
    import decimal
    import enum
    import uuid

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__qualname__} cannot be written as JSON")
