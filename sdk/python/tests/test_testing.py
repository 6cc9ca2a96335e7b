import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from polychron import Context, Fail, PayloadError
from polychron.testing import FakeContext, run


@dataclasses.dataclass
class Report:
    month: str


def report(payload: Report, ctx: Context) -> dict[str, Any]:
    ctx.progress(1, 2, "rendering")
    if payload.month == "13":
        raise Fail("no such month")
    return {"month": payload.month, "tenant": ctx.tenant, "attempt": (ctx.attempt,)}


def test_runs_a_handler_as_a_consumer_would() -> None:
    context = FakeContext(tenant="acme", attempt=2)
    expected = {"month": "12", "tenant": "acme", "attempt": [2]}
    assert run(report, {"month": "12"}, context) == expected
    assert run(report, Report("12"), context) == expected
    assert context.reported == [{"done": 1, "message": "rendering", "total": 2}] * 2


@pytest.mark.parametrize("numbers", [(-1, 2), (1, -2), (float("nan"), None), (2**54, None)])
def test_progress_that_no_message_can_carry_is_refused(numbers: tuple[float, float | None]) -> None:
    with pytest.raises(ValueError, match="progress of"):
        FakeContext().progress(*numbers)


def test_raises_what_the_handler_raises() -> None:
    with pytest.raises(Fail, match="no such month"):
        run(report, {"month": "13"})
    with pytest.raises(PayloadError, match=r"payload\.month cannot be read"):
        run(report, {"month": 12})
    with pytest.raises(TypeError, match="a context has no tenants"):
        run(report, {"month": "12"}, tenants="acme")


def test_runs_async_handlers_and_closes_connections(tmp_path: Path) -> None:
    opened = []

    async def count(ctx: Context) -> int:
        opened.append(ctx.connect())
        return opened[0].execute("SELECT 41 + 1").fetchone()[0]  # type: ignore[no-any-return]

    assert run(count, database_url=f"sqlite://{tmp_path}/acme.db") == 42
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_time_left_and_cancelled() -> None:
    context = FakeContext(timeout=10)
    assert 9 < context.time_left <= 10
    assert not context.cancelled
    context.cancel()
    assert context.cancelled
