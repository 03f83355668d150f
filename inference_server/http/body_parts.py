"""Parses JSON into types, long lists in pieces, with errors that name the path in the body.

Parsing is one call during which no other thread runs; a list of 32 MiB takes 100 ms and more.
"""

import re
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import Raw

from inference_server.errors import InvalidBody
from inference_server.forecast.event_arrays import common_width, parse_lists
from inference_server.forecast.large_work import let_others_run
from inference_server.http.coercion import coerced
from inference_server.http.list_pieces import PIECE_BYTES, ROWS, VALUES, is_long_list, list_pieces
from inference_server.schemas import Candles, EncodedArray, EventArray
from market.timeframes import UnknownTimeframe

T = TypeVar("T")

LONGEST_SHOWN = 80

_RawCandles = msgspec.defstruct(
    "_RawCandles",
    [
        (field.name, Raw) if field.required else (field.name, Raw, Raw(b"null"))
        for field in msgspec.structs.fields(Candles)
    ],
    kw_only=True,
)
"""Candles whose columns are not parsed yet."""


def parse_part(raw: bytes, kind: Any, at: str) -> Any:
    """Return one part of a body as a value of its type, or None where it is null.

    Parameters
    ----------
    raw, kind
        The part's JSON, and `Candles`, `EventArray` or the type of a list.
    at
        Its path in the body, such as ``$.candles``.

    Raises
    ------
    InvalidBody
        If it has another type; the error names the path.
    InvalidEvents
        If rows of events differ in length.
    """
    if len(raw) > PIECE_BYTES and kind is Candles:
        return _candles(raw, at)
    if is_long_list(raw):
        return _events(raw, at) if kind is EventArray else _values(raw, kind, at)
    return parse(raw, kind | None, at)


def parse(body: bytes, kind: type[T], at: str = "$", first: int = 0) -> T:
    """Return JSON as a value of a type; text is accepted for a number (see `coerced`).

    Parameters
    ----------
    body, kind
        JSON, and its type.
    at, first
        For errors: its path in the whole body, and the index of its first item in a list.

    Raises
    ------
    InvalidBody
        With msgspec's message, and the offending value if it is a short scalar.
    """
    try:
        return _parse_or_coerce(body, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        where = re.search(r"at `\$(?:\[(\d+)\])?([^`]*)`$", message)
        index, inside = (where[1], where[2]) if where else (None, "")
        item = "" if index is None else f"[{int(index) + first}]"
        placed = f"{message[: where.start()] if where else f'{message} - '}at `{at}{item}{inside}`"
        raise InvalidBody(placed, given=_value_at(body, message)) from None
    except UnknownTimeframe as error:
        raise InvalidBody(
            f"{error} - at `{at}.timeframe`", given=_value_at(body, "at `$.timeframe`")
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidBody(
            f"the body is not JSON (which has no NaN or Infinity; null is an unknown volume): {error}"
        ) from None
    except RecursionError:
        raise InvalidBody("the body is nested too deeply; expected at most two levels of lists") from None


def _parse_or_coerce(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as refused:
        # Coercion takes longer, so that it runs only where direct parsing fails.
        try:
            value = _untyped(body, kind)
        except msgspec.DecodeError:
            raise refused from None
        return msgspec.json.decode(msgspec.json.encode(coerced(value, kind)), type=kind)


def _untyped(body: bytes, kind: Any) -> Any:
    """Return JSON as Python values; parts that `kind` holds as `Raw`, which may be large, are not parsed."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return msgspec.json.decode(body)
    parsed = {field.encode_name for field in msgspec.structs.fields(kind) if not _holds_raw(field.type)}
    parts = msgspec.json.decode(body, type=dict[str, Raw])
    return {name: msgspec.json.decode(raw) if name in parsed else raw for name, raw in parts.items()}


def _holds_raw(kind: Any) -> bool:
    return kind is Raw or any(_holds_raw(inner) for inner in get_args(kind))


def _candles(raw: bytes, at: str) -> Candles | None:
    kind: Any = _RawCandles | None
    columns = parse(raw, kind, at)
    if columns is None:
        return None
    read = {}
    for field in msgspec.structs.fields(Candles):
        raw = bytes(getattr(columns, field.name))
        column = _values if is_long_list(raw) else parse
        read[field.name] = column(raw, field.type, f"{at}.{field.name}")
    return Candles(**read)


def _values(raw: bytes, kind: Any, at: str) -> list[Any]:
    values: list[Any] = []
    for piece in list_pieces(raw, VALUES):
        let_others_run()
        try:
            values += parse(piece, kind, at, len(values))
        except InvalidBody:
            if b'"' not in piece:
                raise
            uncut: list[Any] = parse(raw, kind, at)  # a string with a comma may have been cut
            return uncut
    return values


def _events(raw: bytes, at: str) -> EncodedArray:
    """Return nested lists as an array, which takes an eighth of their memory."""
    arrays, count = [], 0
    for piece in list_pieces(raw, ROWS):
        let_others_run()
        arrays.append(parse_lists(parse(piece, list[list[float]], at, count)))
        count += len(arrays[-1])
    shape = (count, common_width(array.shape[1] for array in arrays))
    return EncodedArray(shape=shape, data=b"".join(array.astype("<f4").tobytes() for array in arrays))


def _value_at(body: bytes, message: str) -> Any:
    """Return the value at the path of a validation message, if it is a short scalar."""
    path = re.search(r"at `\$((?:\.\w+|\[\d+\])*)`$", message)
    if path is None:
        return None
    try:
        raw: bytes | Raw = body
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path[1]):
            raw = (
                msgspec.json.decode(raw, type=list[Raw])[int(index)]
                if index
                else msgspec.json.decode(raw, type=dict[str, Raw])[name]
            )
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, LookupError, TypeError, RecursionError):
        return None
    if isinstance(value, str):
        return value[:LONGEST_SHOWN]
    return value if isinstance(value, int | float) and abs(value) < 2**63 else None
