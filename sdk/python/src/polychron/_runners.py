"""Call handlers in such a way that a cancel can interrupt them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import signal
import threading
import types
from collections.abc import Coroutine, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from polychron._errors import Cancelled

if TYPE_CHECKING:
    import asyncio


class Runnable(Protocol):
    """What a runner calls: an execution."""

    @property
    def id(self) -> str:
        """Identifies it among those in flight."""

    @property
    def cancelled(self) -> Cancelled | None:
        """What is to be raised in the handler; None while its result is wanted."""

    def around(self) -> AbstractContextManager[Any]:
        """Makes what the handler runs within."""

    def call(self) -> Any:
        """Calls the handler's function."""


class Runner(Protocol):
    """Calls handlers."""

    def call(self, execution: Runnable) -> Any:
        """Calls the handler. Returns its result, or raises what it raises."""

    def cancel(self, execution: Runnable) -> None:
        """Raises `Cancelled` in the handler if it is still running. Called by another thread."""


class MainThread:
    """Runs one handler at a time in the main thread, where a signal also interrupts waiting for
    time, a lock or the network.

    The signal is SIGURG: it is ignored by default, and hardly any program uses it.
    """

    def __init__(self) -> None:
        self._current: Runnable | None = None
        self._was_raised = False
        self._uninterrupted = 0
        signal.signal(signal.SIGURG, lambda *_: self._interrupt())

    def call(self, execution: Runnable) -> Any:
        self._was_raised = False
        self._current = execution
        try:
            self._interrupt()  # it may have been cancelled before
            with execution.around():
                return execution.call()
        finally:
            self._current = None

    def cancel(self, execution: Runnable) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGURG)

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Delays `Cancelled` in the main thread until the end of the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._uninterrupted += 1
        try:
            yield
        finally:
            self._uninterrupted -= 1
        self._interrupt()

    def _interrupt(self) -> None:
        cancelled = None if self._current is None else self._current.cancelled
        if cancelled is not None and not self._was_raised and not self._uninterrupted:
            self._was_raised = True
            raise cancelled


class Threads:
    """Runs each handler in the thread of its caller. `Cancelled` is raised there once the thread is
    back in Python code: a system call is not interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: dict[str, int] = {}

    def call(self, execution: Runnable) -> Any:
        thread = threading.get_ident()
        with self._lock:
            if execution.cancelled is not None:
                raise execution.cancelled
            self._threads[execution.id] = thread
        try:
            with execution.around():
                return execution.call()
        finally:
            with self._lock:
                self._threads.pop(execution.id, None)
                _raise_in(thread, None)  # what has not arrived yet would hit the next handler

    def cancel(self, execution: Runnable) -> None:
        with self._lock:
            thread = self._threads.pop(execution.id, None)
            cancelled = execution.cancelled
            if thread is not None and cancelled is not None:
                # Only a class can be raised in another thread.
                init = {"__init__": lambda self: Cancelled.__init__(self, cancelled.why)}
                _raise_in(thread, type("Cancelled", (Cancelled,), init))


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    raised = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


class EventLoop:
    """Runs `async` handlers on one event loop, in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def call(self, execution: Runnable) -> Any:
        ended: concurrent.futures.Future[Any] = concurrent.futures.Future()

        async def run() -> None:
            try:
                if execution.cancelled is not None:
                    raise execution.cancelled
                with execution.around():
                    ended.set_result(await _driven(execution.call(), execution))
            except BaseException as error:
                ended.set_exception(error)

        def start() -> None:
            self._tasks[execution.id] = loop.create_task(run())
            self._tasks[execution.id].add_done_callback(end)

        def end(_: asyncio.Task[None]) -> None:
            del self._tasks[execution.id]
            if not ended.done():  # a task that is cancelled before its first step does nothing
                ended.set_exception(execution.cancelled or Cancelled("request"))

        loop = self._started()
        loop.call_soon_threadsafe(start)
        return ended.result()

    def cancel(self, execution: Runnable) -> None:
        def cancel() -> None:
            task = self._tasks.get(execution.id)
            if task is not None:
                task.cancel()

        self._started().call_soon_threadsafe(cancel)

    def _started(self) -> asyncio.AbstractEventLoop:
        import asyncio  # costs time and memory that other handlers need not pay

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="polychron-asyncio", daemon=True).start()
            return self._loop


@types.coroutine
def _driven(handler: Coroutine[Any, Any, Any], execution: Runnable) -> Generator[Any, Any, Any]:
    """Awaits a handler, in which a cancel by asyncio is raised as `Cancelled`."""
    import asyncio

    # asyncio takes it for its own, and so stops what the handler waits for.
    cancelled_task: type[Cancelled] = type("Cancelled", (Cancelled, asyncio.CancelledError), {})
    send: Any = None
    throw: BaseException | None = None
    while True:
        try:
            waits_for = handler.send(send) if throw is None else handler.throw(throw)
        except StopIteration as stop:
            return stop.value
        try:
            send, throw = (yield waits_for), None
        except asyncio.CancelledError as error:
            cancelled = execution.cancelled
            throw = error if cancelled is None else cancelled_task(cancelled.why)
        except GeneratorExit:
            handler.close()
            raise
        except BaseException as error:
            throw = error
