import signal
from contextlib import AbstractContextManager, nullcontext

import pytest

from polychron import Cancelled
from polychron._runners import MainThread


class FakeExecution:
    id = "execution-1"
    cancelled: Cancelled | None = None

    def __init__(self, runner: MainThread) -> None:
        self.runner = runner
        self.reached: list[str] = []

    def around(self) -> AbstractContextManager[None]:
        return nullcontext()

    def call(self) -> None:
        with self.runner.uninterrupted():  # as while a line is sent
            self.cancelled = Cancelled("request")
            self.runner.cancel(self)
            self.reached.append("the end of the line")
        self.reached.append("the handler")


def test_a_line_is_not_interrupted_but_what_follows_is() -> None:
    before = signal.getsignal(signal.SIGURG)
    runner = MainThread()
    execution = FakeExecution(runner)
    with pytest.raises(Cancelled):
        runner.call(execution)
    assert execution.reached == ["the end of the line"]
    signal.signal(signal.SIGURG, before)
