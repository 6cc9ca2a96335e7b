"""Reads a JSON value as the type of an annotation.

Errors name the place: `payload.lines[1].amount`.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

from polychron._errors import PayloadError

_NUMBERS_AND_TEXTS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "a string"),
}
_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    set: set,
    collections.abc.Set: set,
    frozenset: frozenset,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def read(wanted: Any, value: Any, path: str = "payload") -> Any:
    """The value as `wanted`. Raises `PayloadError`."""
    if wanted is Any or wanted is object:
        return value
    if wanted is None or wanted is type(None):
        return value if value is None else _refuse(path, "null", value)
    if isinstance(wanted, typing.NewType):
        return read(wanted.__supertype__, value, path)
    origin = typing.get_origin(wanted)
    if origin is not None:
        return _read_generic(origin, typing.get_args(wanted), wanted, value, path)
    if wanted in _NUMBERS_AND_TEXTS:
        accepted, name = _NUMBERS_AND_TEXTS[wanted]
        # A bool is an int in Python, but not in JSON.
        if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
            _refuse(path, name, value)
        return float(value) if wanted is float else value  # type: ignore[arg-type]
    if wanted in _SEQUENCES or wanted is tuple:
        build = _SEQUENCES.get(wanted, tuple)
        return build(_items(Any, value, path))
    if wanted in _MAPPINGS:
        return value if isinstance(value, dict) else _refuse(path, "an object", value)
    if isinstance(wanted, type):
        return _read_class(wanted, value, path)
    raise TypeError(f"{path}: payloads cannot have the type {wanted!r}")


def _read_generic(origin: Any, arguments: tuple[Any, ...], wanted: Any, value: Any, path: str) -> Any:
    if origin is typing.Union or origin is types.UnionType:
        return _read_union(arguments, value, path)
    if origin is typing.Literal:
        same = [one for one in arguments if one == value and type(one) is type(value)]
        return same[0] if same else _refuse(path, f"one of {_list(arguments)}", value)
    # Annotated[T, …], and the marks of a TypedDict's fields, of which Python 3.10 knows none.
    name = getattr(origin, "__name__", None) or getattr(origin, "_name", "")
    if origin is typing.Annotated or name in ("Required", "NotRequired", "ReadOnly"):
        return read(arguments[0], value, path)
    if origin is tuple:
        return _read_tuple(arguments, value, path)
    if origin in _SEQUENCES:
        return _SEQUENCES[origin](_items(arguments[0], value, path))
    if origin in _MAPPINGS:
        if not isinstance(value, dict):
            _refuse(path, "an object", value)
        key, item = arguments
        return {
            read(key, name, f"the name {name!r} in {path}"): read(item, one, _field(path, name))
            for name, one in value.items()
        }
    if isinstance(origin, type):
        return _read_class(origin, value, path, model=wanted)
    raise TypeError(f"{path}: payloads cannot have the type {wanted!r}")


def _read_union(choices: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in choices:
        return None
    errors = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return read(choice, value, path)
        except PayloadError as error:
            errors.append(error)
    # The one that got furthest says most.
    raise max(errors, key=lambda error: len(str(error).split(" cannot be read")[0]))


def _read_tuple(arguments: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_items(arguments[0], value, path))
    if not isinstance(value, list) or len(value) != len(arguments):
        _refuse(path, f"an array of {len(arguments)}", value)
    pairs = enumerate(zip(arguments, value, strict=True))
    return tuple(read(wanted, one, f"{path}[{at}]") for at, (wanted, one) in pairs)


def _read_class(wanted: type, value: Any, path: str, model: Any = None) -> Any:
    if hasattr(wanted, "model_validate"):
        return _read_pydantic(model or wanted, value, path)
    if dataclasses.is_dataclass(wanted):
        return _read_dataclass(wanted, value, path)
    required = getattr(wanted, "__required_keys__", None)
    if required is not None:  # a TypedDict, also that of typing_extensions
        return _read_fields(typing.get_type_hints(wanted, include_extras=True), required, value, path)
    if issubclass(wanted, enum.Enum):
        try:
            return wanted(value)
        except ValueError:
            return _refuse(path, f"one of {_list(one.value for one in wanted)}", value)
    for kind, name, convert in _TEXTS:
        if wanted is kind:
            return _convert(convert, name, value, path)
    raise TypeError(f"{path}: payloads cannot have the type {wanted!r}")


def _read_dataclass(wanted: type, value: Any, path: str) -> Any:
    fields = [one for one in dataclasses.fields(wanted) if one.init]
    hints = typing.get_type_hints(wanted, include_extras=True)
    missing = dataclasses.MISSING
    required = {one.name for one in fields if one.default is missing and one.default_factory is missing}
    known = _read_fields({one.name: hints[one.name] for one in fields}, required, value, path)
    try:
        return wanted(**known)
    except (ValueError, TypeError) as error:  # its own __post_init__
        raise PayloadError(f"{path} cannot be read: {error}") from error


def _read_fields(
    hints: dict[str, Any], required: collections.abc.Set[str], value: Any, path: str
) -> dict[str, Any]:
    """The known fields. Unknown ones are ignored: the sender may be newer."""
    if not isinstance(value, dict):
        _refuse(path, "an object", value)
    for name in hints:
        if name in required and name not in value:
            raise PayloadError(f"{path} cannot be read: missing field {name!r}")
    return {
        name: read(hint, value[name], _field(path, name)) for name, hint in hints.items() if name in value
    }


def _read_pydantic(model: Any, value: Any, path: str) -> Any:
    try:
        return model.model_validate(value)
    except ValueError as error:
        details = getattr(error, "errors", None)
        if details is None:
            raise
        first, *more = details(include_url=False, include_input=False, include_context=False)
        place = path
        for part in first["loc"]:
            place = f"{place}[{part}]" if isinstance(part, int) else _field(place, part)
        others = f" (and {len(more)} more)" if more else ""
        raise PayloadError(f"{place} cannot be read: {first['msg']}{others}") from None


def _items(wanted: Any, value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        _refuse(path, "an array", value)
    return [read(wanted, one, f"{path}[{at}]") for at, one in enumerate(value)]


def _convert(convert: Callable[[Any], Any], name: str, value: Any, path: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        _refuse(path, name, value)
    try:
        return convert(value)
    except (ValueError, TypeError, ArithmeticError):
        return _refuse(path, name, value)


def parse_time(text: str) -> datetime.datetime:
    """A time in RFC 3339. Python before 3.11 reads neither `Z` nor every number of digits."""
    text = text.replace("Z", "+00:00").replace("z", "+00:00")
    head, dot, tail = text.partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{tail[len(digits) :]}"
    return datetime.datetime.fromisoformat(text)


# The order matters: a datetime is a date, too.
_TEXTS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime.datetime, "a time such as 2026-12-01T09:00:00Z", parse_time),
    (datetime.date, "a date such as 2026-12-01", datetime.date.fromisoformat),
    (datetime.time, "a time of day such as 09:00", datetime.time.fromisoformat),
    (decimal.Decimal, "a decimal number", lambda value: decimal.Decimal(str(value))),
    (uuid.UUID, "a UUID", uuid.UUID),
)


def _field(path: str, name: Any) -> str:
    return f"{path}.{name}"


def _list(values: collections.abc.Iterable[Any]) -> str:
    return ", ".join(repr(value) for value in values)


def _refuse(path: str, wanted: str, value: Any) -> typing.NoReturn:
    """Names the type of what is there, not the value, which may be a secret."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    found = "null" if value is None else kinds.get(type(value), "a number")
    raise PayloadError(f"{path} cannot be read: expected {wanted}, found {found}")
