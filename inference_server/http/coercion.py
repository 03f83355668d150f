"""Converts text to numbers and booleans where the type of a body requires one, as pydantic's lax mode does.

A FastAPI service accepts ``"pred_len": "24"``, ``"lookback": 400.0`` and ``"repair": "yes"``. Times, names
and choices are not converted, except for other spellings of a timeframe.
"""

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import inspect

from market.timeframes import TIMEFRAMES, normalised

Coercion = Callable[[Any], Any]

_BOOLEANS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}
_INTEGER = re.compile(r"\s*([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?\s*", re.ASCII)
_BEYOND = 2**63
_LONGEST_NUMBER = 400
"""Characters: the longest float that Python writes has 309 digits, and int() of thousands is slow."""


def coerced(value: Any, kind: Any) -> Any:
    """Return a JSON value in which text is a number or a boolean wherever `kind` requires one.

    Values that cannot be converted are unchanged, so that converting the result to `kind` reports them. No
    text becomes NaN, infinite or null.

    Parameters
    ----------
    value
        Decoded JSON.
    kind
        The required type, such as a msgspec Struct.

    Raises
    ------
    market.timeframes.UnknownTimeframe
        A timeframe is required, and the text is none.
    """
    return _coercion_of(kind)(value)


@cache
def _coercion_of(kind: Any) -> Coercion:
    return _coercion(inspect.type_info(kind))


def _coercion(kind: inspect.Type) -> Coercion:
    """Return the function that coerces a value to a type; built once, since events have many values."""
    match kind:
        case inspect.Metadata(type=inner):
            return _coercion(inner)
        case inspect.UnionType(types=kinds):
            return _of_union(kinds)
        case inspect.StructType(fields=fields):
            return _of_struct({field.encode_name: _coercion(field.type) for field in fields})
        case inspect.DictType(value_type=inner):
            return _of_dict(_coercion(inner))
        case inspect.ListType(item_type=inner):
            return _of_list(_coercion(inner))
        case inspect.TupleType(item_types=kinds):
            return _of_tuple([_coercion(inner) for inner in kinds])
        case inspect.IntType():
            return _integer
        case inspect.FloatType():
            return _number
        case inspect.BoolType():
            return _boolean
        case inspect.LiteralType(values=names) if set(names) == set(TIMEFRAMES):
            return normalised
    return _unchanged


def _of_struct(parts: dict[str, Coercion]) -> Coercion:
    def struct(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: parts.get(name, _unchanged)(part) for name, part in value.items()}

    return struct


def _of_dict(inner: Coercion) -> Coercion:
    return lambda value: (
        {name: inner(part) for name, part in value.items()} if isinstance(value, dict) else value
    )


def _of_list(inner: Coercion) -> Coercion:
    return lambda value: list(map(inner, value)) if isinstance(value, list) else value


def _of_tuple(inner: list[Coercion]) -> Coercion:
    def fixed(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(inner):
            return value
        return [coercion(part) for coercion, part in zip(inner, value, strict=True)]

    return fixed


def _of_union(kinds: tuple[inspect.Type, ...]) -> Coercion:
    """Return a function that leaves a value of any member unchanged, and otherwise uses the first that
    converts it."""
    is_time = any(isinstance(kind, inspect.StrType) for kind in kinds)
    choices = {text for kind in kinds if isinstance(kind, inspect.LiteralType) for text in kind.values}
    members = [_coercion(kind) for kind in kinds if not isinstance(kind, inspect.NoneType)]

    def union(value: Any) -> Any:
        if isinstance(value, str) and (is_time or value in choices):
            return value
        if isinstance(value, bool) and is_time:
            return value  # true is no instant
        for member in members:
            converted = member(value)
            if converted is not value:
                return converted
        return value

    return union


def _unchanged(value: Any) -> Any:
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        match = _INTEGER.fullmatch(value)
        return int(match[1]) if match and abs(int(match[1])) < _BEYOND else value
    if isinstance(value, float) and value.is_integer() and abs(value) < _BEYOND:
        return int(value)
    return int(value) if isinstance(value, bool) else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER or not value.isascii():
        return value
    if "_" in value and value != value.strip():
        return value  # pydantic takes underscores and blanks, but not both
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return _BOOLEANS.get(value.lower(), value)
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else value
