"""The life of a handler process: hello, executions, the end of the stream."""

from __future__ import annotations

import contextvars
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import polychron
from polychron import _output, _runners
from polychron._channel import LINE_BYTES_MAX, VERSION, Channel, encode
from polychron._context import Context
from polychron._errors import Cancelled, describe
from polychron._registry import Handler

ALIVE_MS = 10_000
# The consumer ends a process that is still there five seconds after the end of the stream.
_EXIT_SECONDS = 4
_LOG_CHARACTERS_MAX = 64 * 1024

Around = Callable[[], AbstractContextManager[Any]]
"""Makes what each handler runs within, such as an application's context."""


class Process:
    """A handler process."""

    def __init__(
        self, channel: Channel, handlers: dict[str, Handler], concurrency: int, around: Around
    ) -> None:
        self.concurrency = concurrency
        self._around = around
        self._channel = channel
        self._pid = os.getpid()
        self._handlers = handlers
        self._in_flight: dict[str, Execution] = {}
        self._waiting: queue.SimpleQueue[Execution | None] = queue.SimpleQueue()
        self._main = _runners.MainThread()
        self._synchronous = self._main if concurrency == 1 else _runners.Threads()
        self._asynchronous = _runners.EventLoop()

    def run(self) -> None:
        """Runs executions until the end of the stream."""
        for name in (signal.SIGINT, signal.SIGPIPE):  # they mean the consumer, and a closed socket
            signal.signal(name, signal.SIG_IGN)
        hello = {
            "protocol": VERSION,
            "sdk": f"python/{polychron.__version__}",
            "types": sorted(self._handlers),
            "concurrency": self.concurrency,
            "alive_ms": ALIVE_MS,
        }
        self.send({"hello": hello})
        threading.Thread(target=self._receive, name="polychron-socket", daemon=True).start()
        if self.concurrency == 1:
            self._work()
        else:
            names = [f"polychron-{number}" for number in range(self.concurrency)]
            workers = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        # A thread that a handler has left behind must not keep the process.
        last = threading.Timer(_EXIT_SECONDS, os._exit, [0])
        last.daemon = True
        last.start()

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message."""
        with self._main.uninterrupted():  # half a line would break the protocol
            self._channel.send(message)

    def _receive(self) -> None:
        try:
            for message in self._channel.receive(0.8 * ALIVE_MS / 1000):
                if "start" in message:
                    self._start(message["start"])
                elif "cancel" in message:
                    self._cancel(message["cancel"])
                elif "unreadable" in message:
                    self._reject(**message["unreadable"])
        except Exception:
            traceback.print_exc()  # it shows our code, and no value
            os._exit(70)
        if self._in_flight:  # the consumer is gone, and nothing can be stored
            os._exit(1)
        for _ in range(self.concurrency):
            self._waiting.put(None)

    def _start(self, start: dict[str, Any]) -> None:
        handler = self._handlers.get(start["type"])
        is_async = handler is not None and handler.is_async
        runner = self._asynchronous if is_async else self._synchronous
        try:
            execution = Execution(start, handler, runner, self._around, self.send)
        except ValueError as error:  # a time after the year 9999
            return self._reject(start["id"], f"the execution cannot be started: {error}")
        self._in_flight[execution.id] = execution
        self._waiting.put(execution)

    def _reject(self, id: str, why: str) -> None:
        self.send({"failed": {"id": id, "message": why, "retry": False}})

    def _cancel(self, cancel: dict[str, Any]) -> None:
        execution = self._in_flight.get(cancel["id"])
        if execution is not None and execution.cancelled is None:
            execution.context._cancelled = cancel["why"]
            execution.runner.cancel(execution)

    def _work(self) -> None:
        while (execution := self._waiting.get()) is not None:
            # Variables that the handler sets end with it.
            contextvars.copy_context().run(self._execute, execution)

    def _execute(self, execution: Execution) -> None:
        log = self._log_to_stream if self.concurrency == 1 else execution.log
        _output.current.set(log)
        try:
            answer = _success(execution.id, execution.runner.call(execution))
        except BaseException as error:  # also SystemExit, which means this execution only
            answer = {"failed": {"id": execution.id, **describe(error)}}
        if os.getpid() != self._pid:  # a child that the handler forked has left the handler, too
            _exit_child(answer)
        try:
            execution.context._close()
        except Exception:
            traceback.print_exc()
        _output.flush()
        del self._in_flight[execution.id]
        self.send(answer)

    def _log_to_stream(self, level: str, text: str) -> None:
        # The same stream as `print`, so that the order stays.
        print(f"{level.upper()} {text}", file=sys.stdout, flush=True)


class Execution:
    """One execution in flight."""

    def __init__(
        self,
        start: dict[str, Any],
        handler: Handler | None,
        runner: _runners.Runner,
        around: Around,
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        self.id: str = start["id"]
        self.context = Context(start, send)
        self.runner = runner
        self.around = around
        self._handler = handler
        self._payload = start["payload"]
        self._send = send

    @property
    def cancelled(self) -> Cancelled | None:
        """What is to be raised in the handler."""
        why = self.context._cancelled
        return None if why is None else Cancelled(why)

    def call(self) -> Any:
        """Calls the handler's function; if that is `async`, the result is a coroutine."""
        if self._handler is None:
            raise LookupError(f"no handler for job type {self.context.job_type!r} in this process")
        return self._handler.function(*self._handler.arguments(self._payload, self.context))

    def log(self, level: str, text: str) -> None:
        """Appends to this execution's output."""
        for at in range(0, len(text), _LOG_CHARACTERS_MAX):
            part = text[at : at + _LOG_CHARACTERS_MAX]
            self._send({"log": {"id": self.id, "level": level, "text": part}})


def _exit_child(answer: dict[str, Any]) -> NoReturn:
    """Ends a child that was forked: answers are its parent's."""
    failed = answer.get("failed", {})
    if failed:
        print(failed.get("detail") or failed["message"], file=sys.stderr)
    _output.flush()
    os._exit(1 if failed else 0)


def _success(execution: str, result: Any) -> dict[str, Any]:
    """The answer for a result."""
    try:
        size = len(encode(result))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the result cannot be written as JSON: {error}"
        # The work is done: another attempt would repeat it.
        return {"failed": {"id": execution, "message": message, "retry": False}}
    if size > LINE_BYTES_MAX - 1024:  # does not fit into a line
        result = {"polychron_cut": {"bytes": size}}
    return {"done": {"id": execution, "result": result}}
