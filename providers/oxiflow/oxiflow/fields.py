"""
Makes a dataclass of parsed JSON and holds it to its annotations: types, bounds, words, patterns. What a class does not know
is passed over, because within a version of the protocol fields are only added; `strict` refuses it, as the schemas do.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Callable,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

T = TypeVar("T")

#: The largest whole number that the runner and this side both hold exactly.
MAX_WHOLE = 2**53 - 1
HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class Misfit(ValueError):
    """A value is not what its place holds; the message names the place."""


@dataclass(frozen=True)
class AtLeast:
    low: float


@dataclass(frozen=True)
class MoreThan:
    low: float


@dataclass(frozen=True)
class Between:
    low: float
    high: float


@dataclass(frozen=True)
class Matches:
    pattern: str


Read = Callable[[Any, str, bool], Any]


def read(kind: type[T], value: Any, strict: bool = False) -> T:
    """Throws Misfit where `value` is not a `kind`."""
    result: T = _reader(cast(Any, kind))(value, "", strict)
    return result


@cache
def _reader(kind: Any) -> Read:
    if kind is Any:
        return lambda value, at, strict: value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _checked(_reader(arguments[0]), arguments[1:])
    if origin is Union:
        (one,) = [argument for argument in arguments if argument is not type(None)]
        return _nullable(_reader(one))
    if origin is tuple:
        return _list(_reader(arguments[0]))
    if origin is Literal:
        return _word(arguments)
    return {str: _text, int: _whole, float: _number, bool: _flag}[kind]


def _object(kind: type) -> Read:
    hints = get_type_hints(kind, include_extras=True)
    plan: dict[str, tuple[str, Read, bool]] = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        required = field.default is dataclasses.MISSING
        # A field that may be absent is never null; one that may be null is never absent.
        optional = not required and get_origin(hint) is Union
        inner = next(one for one in get_args(hint) if one is not type(None)) if optional else hint
        plan[field.name.rstrip("_")] = (field.name, _reader(inner), required)
    # Which class it is was decided by its type.
    known = {*plan, "type"} if hasattr(kind, "type") else set(plan)

    def take(value: Any, at: str, strict: bool) -> Any:
        if not isinstance(value, dict):
            raise Misfit(f"{at or 'the line'} is not an object")
        found = {}
        for name, (attribute, reader, required) in plan.items():
            place = f"{at}.{name}" if at else name
            if name in value:
                found[attribute] = reader(value[name], place, strict)
            elif required:
                raise Misfit(f"{place} is missing")
        if strict and not value.keys() <= known:
            raise Misfit(f"{at or 'the line'} has the unknown field {min(value.keys() - known)!r}")
        return kind(**found)

    return take


def _nullable(reader: Read) -> Read:
    return lambda value, at, strict: None if value is None else reader(value, at, strict)


def _list(reader: Read) -> Read:
    def take(value: Any, at: str, strict: bool) -> Any:
        if not isinstance(value, list):
            raise Misfit(f"{at} is not a list")
        return tuple(reader(one, f"{at}[{i}]", strict) for i, one in enumerate(value))

    return take


def _word(words: tuple[Any, ...]) -> Read:
    def take(value: Any, at: str, strict: bool) -> Any:
        # 1 and True are equal in Python, and not in JSON.
        if isinstance(value, bool) or value not in words:
            raise Misfit(f"{at} is not {' or '.join(map(str, words))}")
        return words[words.index(value)]

    return take


def _checked(reader: Read, bounds: tuple[Any, ...]) -> Read:
    # Each number of each event passes here: which bound it is was asked before.
    tests = [_test(bound) for bound in bounds]

    def take(value: Any, at: str, strict: bool) -> Any:
        result = reader(value, at, strict)
        for fits, why in tests:
            if not fits(result):
                raise Misfit(f"{at} {why}")
        return result

    return take


def _test(bound: Any) -> tuple[Callable[[Any], object], str]:
    """What has to be true, and what is said where it is not."""
    if isinstance(bound, AtLeast):
        return lambda value: value >= bound.low, f"is less than {bound.low}"
    if isinstance(bound, MoreThan):
        return lambda value: value > bound.low, f"is not more than {bound.low}"
    if isinstance(bound, Between):
        return lambda value: bound.low <= value <= bound.high, f"is not from {bound.low} to {bound.high}"
    if isinstance(bound, Matches):
        return re.compile(bound.pattern, re.ASCII).fullmatch, f"does not match {bound.pattern}"
    raise TypeError(f"{bound} is no bound")


def _text(value: Any, at: str, strict: bool) -> str:
    if not isinstance(value, str):
        raise Misfit(f"{at} is not text")
    # Half of a pair, which JSON can say and no file can hold.
    return value if value.isascii() else HALF_A_PAIR.sub("\ufffd", value)


def _whole(value: Any, at: str, strict: bool) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -MAX_WHOLE <= value <= MAX_WHOLE:
        raise Misfit(f"{at} is not a whole number")
    return value


def _number(value: Any, at: str, strict: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Misfit(f"{at} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number in (float("inf"), float("-inf")):
        raise Misfit(f"{at} is too large")
    return number


def _flag(value: Any, at: str, strict: bool) -> bool:
    if not isinstance(value, bool):
        raise Misfit(f"{at} is neither true nor false")
    return value
