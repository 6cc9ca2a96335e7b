import collections.abc
import dataclasses
import datetime
import decimal
import enum
import typing
import uuid
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field
from typing_extensions import NotRequired, TypedDict

from polychron import PayloadError
from polychron._payload import parse_time, read


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Line:
    amount: int
    note: str | None = None


@dataclasses.dataclass
class Order:
    lines: list[Line]
    by: dict[str, Line] = dataclasses.field(default_factory=dict)
    total: int = dataclasses.field(init=False, default=7)


class Report(TypedDict):
    month: str
    lines: NotRequired[list[Line]]


class Model(BaseModel):
    lines: list[Line]
    count: Annotated[int, Field(gt=0)] = 1


Money = typing.NewType("Money", decimal.Decimal)


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        (Any, {"a": 1}, {"a": 1}),
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (Optional[int], None, None),  # noqa: UP045
        (int | str, "x", "x"),
        (list[int], [1, 2], [1, 2]),
        (list, [1, "x"], [1, "x"]),
        (tuple[int, str], [1, "x"], (1, "x")),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[int], [1, 1], {1}),
        (collections.abc.Sequence[int], [1], [1]),
        (collections.abc.Mapping[str, int], {"a": 1}, {"a": 1}),
        (dict, {"a": 1}, {"a": 1}),
        (Literal["a", 1], 1, 1),
        (Colour, "red", Colour.RED),
        (Annotated[int, "unit"], 3, 3),
        (Money, "1.10", decimal.Decimal("1.10")),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID(bytes=b'\x124Vx' * 4)),
        (datetime.date, "2026-12-01", datetime.date(2026, 12, 1)),
        (Order, {"lines": [{"amount": 1}], "later": 2}, Order([Line(1)])),
        (Order, {"lines": [], "by": {"x": {"amount": 1, "note": "n"}}}, Order([], {"x": Line(1, "n")})),
        (Report, {"month": "2026-12"}, {"month": "2026-12"}),
        (Report, {"month": "x", "lines": [{"amount": 1}]}, {"month": "x", "lines": [Line(1)]}),
        (Model, {"lines": [{"amount": 1}]}, Model(lines=[Line(1)])),
    ],
)  # fmt: skip
def test_reads(wanted: Any, value: Any, expected: Any) -> None:
    found = read(wanted, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("wanted", "value", "message"),
    [
        (int, "3", "payload cannot be read: expected an integer, found a string"),
        (int, True, "payload cannot be read: expected an integer, found a boolean"),
        (int, 3.5, "expected an integer, found a number"),
        (bool, 1, "expected true or false"),
        (str, None, "expected a string, found null"),
        (list[int], {"a": 1}, "expected an array, found an object"),
        (list[int], [1, "x"], "payload[1] cannot be read"),
        (tuple[int, str], [1], "expected an array of 2"),
        (dict[str, int], {"a": "x"}, "payload.a cannot be read"),
        (dict[int, int], {"a": 1}, "the name 'a' in payload cannot be read"),
        (Literal["a"], "b", "expected one of 'a'"),
        (Colour, "blue", "expected one of 'red'"),
        (datetime.date, "01.12.2026", "expected a date such as"),
        (datetime.date, 7, "expected a date such as"),
        (decimal.Decimal, "much", "expected a decimal number"),
        (None, 1, "expected null"),
        (Order, {}, "payload cannot be read: missing field 'lines'"),
        (Order, {"lines": [{"amount": 1}, {"amount": "x"}]}, "payload.lines[1].amount cannot be read"),
        (Order, {"lines": [], "by": {"x": {}}}, "payload.by.x cannot be read: missing field 'amount'"),
        (Report, {}, "missing field 'month'"),
        (Report, [], "expected an object, found an array"),
        (Model, {"lines": [{"amount": 1}, {}]}, "payload.lines[1].amount cannot be read: Field required"),
        (Model, {"lines": [], "count": 0}, "payload.count cannot be read: Input should be greater"),
        (Line | None, {"amount": "x"}, "payload.amount cannot be read"),
    ],
)  # fmt: skip
def test_names_the_place(wanted: Any, value: Any, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        read(wanted, value)
    assert message in str(caught.value)


def test_quotes_no_value() -> None:
    secret = {"lines": [{"amount": "hunter2"}], "count": "hunter2"}
    for wanted in (Order, Model):
        with pytest.raises(PayloadError) as caught:
            read(wanted, secret)
        assert "hunter2" not in str(caught.value)


def test_refuses_a_type_that_json_cannot_have() -> None:
    with pytest.raises(TypeError, match="payloads cannot have the type"):
        read(bytes, "x")


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-12-01T02:00:00Z", 0),
        ("2026-12-01T02:00:00.5+00:00", 500_000),
        ("2026-12-01T02:00:00.123456789Z", 123_456),
    ],
)
def test_reads_times_of_any_python(text: str, micros: int) -> None:
    expected = datetime.datetime(2026, 12, 1, 2, 0, 0, micros, datetime.timezone.utc)
    assert parse_time(text) == expected
