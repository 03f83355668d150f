"""Bodies read as FastAPI reads them: text is taken for a number, unknown fields are named and not refused."""

import json
import re
import zlib
from collections import Counter
from typing import Any, TypeVar

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from msgspec import Raw

from inference_server.coercion import coerced
from inference_server.errors import BeyondLimit, BodyTooLarge, InvalidBody, ServiceError, UnsupportedMedia
from inference_server.schemas import (
    Candles,
    EventArray,
    ForecastSettings,
    Instant,
    PredictBatchRequest,
    PredictRequest,
)
from inference_server.warning_codes import WarningCode, warning

T = TypeVar("T")

NAMES_SHOWN = 10
_LONGEST_SHOWN = 80
_GZIP = 16 + zlib.MAX_WBITS  # zlib's word for gzip's header and trailer


class _BatchBody(ForecastSettings, kw_only=True):
    """A batch whose parts by symbol are not read yet, so that a wrong one fails its symbol alone."""

    symbols: list[str]
    candles: dict[str, Raw] | None = None
    future_timestamps: dict[str, Raw] | None = None
    events: dict[str, Raw] | None = None


def read_predict(body: bytes) -> tuple[PredictRequest, list[str]]:
    """Return the request in a body of /predict, and warnings about fields that were ignored.

    Raises
    ------
    InvalidBody
        If the body is not JSON or a field has the wrong type; the error names the field.
    """
    body = _in_utf8(body)
    request = decode(body, PredictRequest)
    return request, _ignored(body, PredictRequest)


def read_batch(body: bytes, max_symbols: int) -> tuple[dict[str, PredictRequest | ServiceError], list[str]]:
    """Return one request, or what is wrong with it, per symbol in a body of /predict-batch, and warnings.

    A symbol that is listed twice is answered once, at its first place.

    Raises
    ------
    InvalidBody
        If the body is not JSON, names no symbol, or a field that all symbols share has the wrong type.
    BeyondLimit
        If it lists more than `max_symbols`.
    """
    body = _in_utf8(body)
    batch = decode(body, _BatchBody)
    if not batch.symbols:
        raise InvalidBody("symbols is empty; expected at least one symbol", given=[])
    if len(batch.symbols) > max_symbols:
        raise BeyondLimit(
            f"{len(batch.symbols)} symbols asked for; expected at most {max_symbols}: split the batch",
            given=len(batch.symbols),
            expected=f"1 … {max_symbols} (KRONOS_MAX_BATCH_SYMBOLS)",
        )
    warnings = _ignored(body, PredictBatchRequest)
    repeated = [symbol for symbol, times in Counter(batch.symbols).items() if times > 1]
    if repeated:
        text = f"listed more than once, answered once: {_names(repeated)}"
        warnings.append(warning(WarningCode.SYMBOLS_REPEATED, text))
    for field in ("candles", "future_timestamps", "events"):
        strangers = sorted(set(getattr(batch, field) or {}) - set(batch.symbols))
        if strangers:
            text = f"{field} of symbols that are not in symbols were ignored: {_names(strangers)}"
            warnings.append(warning(WarningCode.SYMBOLS_IGNORED, text))
    return {symbol: _one_of(batch, symbol) for symbol in batch.symbols}, warnings


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body as it was before its sender packed it.

    Parameters
    ----------
    body, encoding
        The body as it came, and its Content-Encoding: gzip, identity or none.
    limit
        Bytes that it may have once it is unpacked.

    Raises
    ------
    UnsupportedMedia
        If it is packed in another way.
    BodyTooLarge
        If it is larger; no more than that is unpacked.
    InvalidBody
        If it is not whole, or no gzip.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMedia(
            "the body is packed in a way that this server does not read",
            given=encoding[:_LONGEST_SHOWN],
            expected="gzip as Content-Encoding, or none",
        )
    parts: list[bytes] = []
    room = limit
    while body:  # a gzip file may have several members
        member = zlib.decompressobj(wbits=_GZIP)
        try:
            parts.append(member.decompress(body, room + 1))
        except zlib.error as error:
            raise InvalidBody(f"the body is not the gzip that Content-Encoding says: {error}") from None
        room -= len(parts[-1])
        if room < 0:
            raise BodyTooLarge(
                f"the body has more than {limit} bytes once it is unpacked (KRONOS_MAX_BODY_BYTES)",
                expected=f"at most {limit} bytes",
            )
        if not member.eof:
            raise InvalidBody("the body ends in the middle of its gzip; send all of it")
        body = member.unused_data
    return b"".join(parts)


async def only_json(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let a request pass whose body is sent as JSON; a Litestar guard.

    A browser sends JSON to another site only after asking it. Forms and plain text, or a body of no type, it
    sends at once, from any page.

    Raises
    ------
    UnsupportedMedia
        If its Content-Type is another one, or missing.
    """
    given = connection.headers.get("content-type", "")
    kind = given.partition(";")[0].strip().lower()
    if kind != "application/json" and not re.fullmatch(r"application/[\w.-]+\+json", kind):
        raise UnsupportedMedia(
            "the body must be sent as JSON",
            given=given[:_LONGEST_SHOWN],
            expected="Content-Type: application/json",
        )


def decode(body: bytes, kind: type[T], at: str = "$") -> T:
    """Return a body as a value of a type; text is taken for a number where one is wanted (see `coerced`).

    Raises
    ------
    InvalidBody
        With msgspec's message, and the offending value where it can be found and shown.
    """
    try:
        return _read(body, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        placed = message.replace("`$", f"`{at}", 1) if "at `$" in message else f"{message} - at `{at}`"
        raise InvalidBody(placed, given=_value_at(body, message)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidBody(
            f"the body is not JSON (which knows no NaN or Infinity; null is an unknown volume): {error}"
        ) from None
    except RecursionError:
        raise InvalidBody("the body is nested too deeply; expected at most two levels of lists") from None


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as refused:
        # Only now, since it takes longer: a body whose types are right is read once, straight to its type.
        try:
            value = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise refused from None
        return msgspec.json.decode(msgspec.json.encode(coerced(value, kind)), type=kind)


def _in_utf8(body: bytes) -> bytes:
    """Return a body that is sent in UTF-16 or UTF-32, or with a byte order mark, in plain UTF-8.

    Raises
    ------
    InvalidBody
        If it is not the text that its first bytes say it is.
    """
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError as error:
        raise InvalidBody(f"the body is not JSON in UTF-8: {error}") from None


def _one_of(batch: _BatchBody, symbol: str) -> PredictRequest | ServiceError:
    """Return one symbol's own request, or what is wrong with its parts."""
    parts: dict[str, Any] = {}
    kinds: dict[str, Any] = {"candles": Candles, "future_timestamps": list[Instant], "events": EventArray}
    for name, kind in kinds.items():
        raw = (getattr(batch, name) or {}).get(symbol)
        if raw is None:
            continue
        try:
            parts[name] = decode(bytes(raw), kind | None, at=f"$.{name}.{symbol}")
        except InvalidBody as error:
            return error
    shared = {name: getattr(batch, name) for name in ForecastSettings.__struct_fields__}
    return PredictRequest(symbol=symbol, **shared, **parts)


def _ignored(body: bytes, kind: type[PredictRequest | PredictBatchRequest]) -> list[str]:
    """Return a warning that names the fields of a valid body which its type does not have, or nothing."""
    given = msgspec.json.decode(body, type=dict[str, Raw])
    names = [name for name in given if name not in kind.__struct_fields__]
    if (raw := given.get("candles")) is not None:
        columns = msgspec.json.decode(raw, type=dict[str, Raw] | None) or {}
        of_symbols = {f"candles.{symbol}.": part for symbol, part in columns.items()}
        for prefix, part in ({"candles.": raw} if kind is PredictRequest else of_symbols).items():
            names += [f"{prefix}{name}" for name in _keys(part) if name not in Candles.__struct_fields__]
    text = f"unknown fields were ignored: {_names(names)}"
    return [warning(WarningCode.FIELDS_IGNORED, text)] if names else []


def _keys(raw: Raw) -> list[str]:
    try:
        return list(msgspec.json.decode(raw, type=dict[str, Raw] | None) or {})
    except msgspec.DecodeError:
        return []  # not an object: that symbol's own error says so


def _names(names: list[str]) -> str:
    shown = ", ".join(name[:_LONGEST_SHOWN] for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


def _value_at(body: bytes, message: str) -> Any:
    """Return the value that a validation message points at, if it is a short scalar in a plain place."""
    place = re.search(r"at `\$((?:\.\w+|\[\d+\])*)`$", message)
    if place is None:
        return None
    try:
        value = msgspec.json.decode(body)
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", place[1]):
            value = value[int(index)] if index else value[name]
    except (msgspec.DecodeError, LookupError, TypeError, RecursionError):
        return None
    if isinstance(value, str):
        return value[:_LONGEST_SHOWN]
    return value if isinstance(value, int | float) and abs(value) < 2**63 else None
