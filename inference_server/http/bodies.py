"""Bodies read as FastAPI reads them: text is taken for a number, unknown fields are named and not refused."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from msgspec import UNSET, Meta, Raw, UnsetType

from inference_server.errors import BeyondLimit, BodyTooLarge, InvalidBody, ServiceError, UnsupportedMedia
from inference_server.http.body_parts import LONGEST_SHOWN, decode, read_part
from inference_server.schemas import (
    Candles,
    EventArray,
    ForecastSettings,
    Instant,
    PredictBatchRequest,
    PredictRequest,
    ProbabilityRequest,
)
from market.warning_codes import WarningCode, warning

LARGE_BODY = 2**17
"""Bytes from which on a body takes longer to read than a thread to hand it over, a millisecond or two."""
NAMES_SHOWN = 10
_GZIP = 16 + zlib.MAX_WBITS  # zlib's word for gzip's header and trailer


_PARTS: dict[str, Any] = {
    "candles": Candles,
    "future_timestamps": list[Instant],
    "events": EventArray,
    "probabilities": ProbabilityRequest,
}
"""What belongs to one symbol alone, and its type."""


_NULL = Raw(b"null")


class _PredictBody(ForecastSettings, kw_only=True):
    """A request whose large parts are not read yet."""

    symbol: Annotated[str, Meta(min_length=1, max_length=64)]
    candles: Raw = _NULL
    future_timestamps: Raw = _NULL
    events: Raw = _NULL
    probabilities: Raw = _NULL


class _BatchBody(ForecastSettings, kw_only=True):
    """A batch whose parts by symbol are not read yet, so that a wrong one fails its symbol alone."""

    symbols: list[str]
    candles: dict[str, Raw] | None = None
    future_timestamps: dict[str, Raw] | None = None
    events: dict[str, Raw] | None = None
    probabilities: dict[str, Raw] | UnsetType | None = UNSET


def read_predict(body: bytes) -> tuple[PredictRequest, list[str]]:
    """Return the request in a body of /predict, and warnings about fields that were ignored.

    Raises
    ------
    InvalidBody
        If the body is not JSON or a field has the wrong type; the error names the field.
    """
    body = _in_utf8(body)
    read = decode(body, _PredictBody)
    raws = {name: (raw, f"$.{name}") for name in _PARTS if (raw := getattr(read, name)) != _NULL}
    return _request(read, read.symbol, raws), _ignored(body, PredictRequest)


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
    for field in _PARTS:
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
            given=encoding[:LONGEST_SHOWN],
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
            given=given[:LONGEST_SHOWN],
            expected="Content-Type: application/json",
        )


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
    raws = {
        name: (raw, f"$.{name}.{symbol}")
        for name in _PARTS
        if (raw := (getattr(batch, name) or {}).get(symbol)) is not None
    }
    try:
        return _request(batch, symbol, raws)
    except ServiceError as error:
        return error


def _request(shared: ForecastSettings, symbol: str, raws: Mapping[str, tuple[Raw, str]]) -> PredictRequest:
    """Return a symbol's request from the settings and its own parts, each with its place in the body."""
    settings = {name: getattr(shared, name) for name in ForecastSettings.__struct_fields__}
    parts = {name: read_part(bytes(raw), _PARTS[name], at) for name, (raw, at) in raws.items()}
    return PredictRequest(symbol=symbol, **settings, **parts)


def _ignored(body: bytes, kind: type[PredictRequest | PredictBatchRequest]) -> list[str]:
    """Return a warning that names the fields of a valid body which its type does not have, or nothing."""
    given = msgspec.json.decode(body, type=dict[str, Raw])
    names = [name for name in given if name not in kind.__struct_fields__]
    objects: dict[str, Any] = {"candles": Candles, "probabilities": ProbabilityRequest}
    for field, inside in objects.items():
        if (raw := given.get(field)) is None:
            continue
        columns = msgspec.json.decode(raw, type=dict[str, Raw] | None) or {}
        of_symbols = {f"{field}.{symbol}.": part for symbol, part in columns.items()}
        for prefix, part in ({f"{field}.": raw} if kind is PredictRequest else of_symbols).items():
            names += [f"{prefix}{name}" for name in _keys(part) if name not in inside.__struct_fields__]
    text = f"unknown fields were ignored: {_names(names)}"
    return [warning(WarningCode.FIELDS_IGNORED, text)] if names else []


def _keys(raw: Raw) -> list[str]:
    try:
        return list(msgspec.json.decode(raw, type=dict[str, Raw] | None) or {})
    except msgspec.DecodeError:
        return []  # not an object: that symbol's own error says so


def _names(names: list[str]) -> str:
    shown = ", ".join(name[:LONGEST_SHOWN] for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
