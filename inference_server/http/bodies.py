"""Parses the bodies of /predict and /predict-batch into requests, as FastAPI would.

Text is accepted for a number, and unknown fields are reported in a warning.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from inference_server.errors import BeyondLimit, InvalidBody, ServiceError
from inference_server.http.body_encoding import in_utf8
from inference_server.http.body_parts import LONGEST_SHOWN, parse, parse_part
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

NAMES_SHOWN = 10

_PARTS: dict[str, Any] = {
    "candles": Candles,
    "future_timestamps": list[Instant],
    "events": EventArray,
    "probabilities": ProbabilityRequest,
}
"""The fields that belong to one symbol, with their types."""

_NULL = Raw(b"null")


class _PredictBody(ForecastSettings, kw_only=True):
    """A body of /predict whose large parts are not parsed yet."""

    symbol: Annotated[str, Meta(min_length=1, max_length=64)]
    candles: Raw = _NULL
    future_timestamps: Raw = _NULL
    events: Raw = _NULL
    probabilities: Raw = _NULL


class _BatchBody(ForecastSettings, kw_only=True):
    """A body of /predict-batch whose parts by symbol are not parsed yet, so that an error fails one
    symbol."""

    symbols: list[str]
    candles: dict[str, Raw] | None = None
    future_timestamps: dict[str, Raw] | None = None
    events: dict[str, Raw] | None = None
    probabilities: dict[str, Raw] | UnsetType | None = UNSET


@dataclass(frozen=True)
class Batch:
    """The requests of a batch.

    Attributes
    ----------
    symbols
        Every symbol once, in the order of the body.
    requests
        By symbol.
    failures
        The errors of the symbols whose parts cannot be parsed.
    warnings
        About the body as a whole.
    """

    symbols: list[str]
    requests: dict[str, PredictRequest]
    failures: dict[str, Exception]
    warnings: list[str]


def parse_predict(body: bytes) -> tuple[PredictRequest, list[str]]:
    """Return the request in a body of /predict, and warnings about fields that were ignored.

    Raises
    ------
    InvalidBody
        If the body is not JSON or a field has the wrong type; the error names the field.
    """
    body = in_utf8(body)
    predict = parse(body, _PredictBody)
    parts = {name: (raw, f"$.{name}") for name in _PARTS if (raw := getattr(predict, name)) != _NULL}
    return _request(predict, predict.symbol, parts), _unknown_field_warnings(body, PredictRequest)


def parse_batch(body: bytes, max_symbols: int) -> Batch:
    """Return the requests in a body of /predict-batch, by symbol.

    A symbol that is listed several times is answered once, in its first place.

    Raises
    ------
    InvalidBody
        If the body is not JSON, names no symbol, or a field that all symbols share has the wrong type.
    BeyondLimit
        If it lists more than `max_symbols`.
    """
    body = in_utf8(body)
    batch = parse(body, _BatchBody)
    if not batch.symbols:
        raise InvalidBody("symbols is empty; expected at least one symbol", given=[])
    if len(batch.symbols) > max_symbols:
        raise BeyondLimit(
            f"{len(batch.symbols)} symbols asked for; expected at most {max_symbols}: split the batch",
            given=len(batch.symbols),
            expected=f"1 … {max_symbols} (KRONOS_MAX_BATCH_SYMBOLS)",
        )
    requests: dict[str, PredictRequest] = {}
    failures: dict[str, Exception] = {}
    symbols = list(dict.fromkeys(batch.symbols))
    for symbol in symbols:
        try:
            requests[symbol] = _request(batch, symbol, _parts_of(batch, symbol))
        except ServiceError as error:
            failures[symbol] = error
    warnings = _unknown_field_warnings(body, PredictBatchRequest) + _symbol_warnings(batch)
    return Batch(symbols, requests, failures, warnings)


def _symbol_warnings(batch: _BatchBody) -> list[str]:
    """Return warnings about symbols that are listed twice, and about parts of symbols that are not listed."""
    warnings = []
    repeated = [symbol for symbol, count in Counter(batch.symbols).items() if count > 1]
    if repeated:
        text = f"listed more than once, answered once: {_names(repeated)}"
        warnings.append(warning(WarningCode.SYMBOLS_REPEATED, text))
    for field in _PARTS:
        unlisted = sorted(set(getattr(batch, field) or {}) - set(batch.symbols))
        if unlisted:
            text = f"{field} of symbols that are not in symbols were ignored: {_names(unlisted)}"
            warnings.append(warning(WarningCode.SYMBOLS_IGNORED, text))
    return warnings


def _parts_of(batch: _BatchBody, symbol: str) -> dict[str, tuple[Raw, str]]:
    """Return a symbol's own parts of a batch, each with its path in the body."""
    return {
        name: (raw, f"$.{name}.{symbol}")
        for name in _PARTS
        if (raw := (getattr(batch, name) or {}).get(symbol)) is not None
    }


def _request(shared: ForecastSettings, symbol: str, parts: Mapping[str, tuple[Raw, str]]) -> PredictRequest:
    """Return a symbol's request from the shared settings and its own parts, each with its path in the
    body."""
    settings = {name: getattr(shared, name) for name in ForecastSettings.__struct_fields__}
    values = {name: parse_part(bytes(raw), _PARTS[name], path) for name, (raw, path) in parts.items()}
    return PredictRequest(symbol=symbol, **settings, **values)


def _unknown_field_warnings(body: bytes, kind: type[PredictRequest | PredictBatchRequest]) -> list[str]:
    """Return a warning that names the fields of a valid body that its type does not have."""
    fields = msgspec.json.decode(body, type=dict[str, Raw])
    names = [name for name in fields if name not in kind.__struct_fields__]
    objects: dict[str, Any] = {"candles": Candles, "probabilities": ProbabilityRequest}
    for field, struct in objects.items():
        for path, part in _objects(fields.get(field, _NULL), field, kind is PredictBatchRequest):
            names += [f"{path}.{name}" for name in _keys(part) if name not in struct.__struct_fields__]
    text = f"unknown fields were ignored: {_names(names)}"
    return [warning(WarningCode.FIELDS_IGNORED, text)] if names else []


def _objects(raw: Raw, field: str, by_symbol: bool) -> Iterator[tuple[str, Raw]]:
    """Yield the object of a field, or that of each symbol, with its path in the body."""
    if not by_symbol:
        yield field, raw
        return
    for symbol, part in (msgspec.json.decode(raw, type=dict[str, Raw] | None) or {}).items():
        yield f"{field}.{symbol}", part


def _keys(raw: Raw) -> list[str]:
    try:
        return list(msgspec.json.decode(raw, type=dict[str, Raw] | None) or {})
    except msgspec.DecodeError:
        return []  # not an object: the error of that symbol reports it


def _names(names: list[str]) -> str:
    shown = ", ".join(name[:LONGEST_SHOWN] for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
