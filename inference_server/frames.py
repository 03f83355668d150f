"""Converts frames of candles into the candles of requests, and answers into frames of the same library."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference_server.frame_libraries import Column, FrameError, Library, as_column, library_of
from inference_server.schemas import (
    Candles,
    FeatureColumns,
    ForecastSettings,
    Instant,
    ModelName,
    PredictAnswer,
)
from market.unix_time import from_epoch, read_instant
from market.warning_codes import WarningCode, warning

Frame = TypeVar("Frame")
Instants = NDArray[np.datetime64]

TIME_NAMES = ("timestamp", "timestamps", "ts")
PRICES = ("open", "high", "low", "close")
OPTIONAL = ("volume", "amount")

# Candles sent in addition to the lookback: the last may not have closed, and the local clock may be ahead.
_SPARE = 100
_EXPECTED = (
    "expected timestamp (or timestamps, ts, or a DatetimeIndex of pandas), open, high, low, close, and "
    "optionally volume, amount and symbol"
)


@dataclass(frozen=True)
class CandleFrame:
    """The candles of a frame.

    Attributes
    ----------
    library, time_type
        The library of the frame and the type of its time column, for frames of forecasts.
    candles
        By symbol, in the order in which the symbols first appear.
    has_symbols
        Whether the frame has a column `symbol`; frames of forecasts then have one too.
    ignored
        Names of columns that forecasts do not use.
    """

    library: Library
    time_type: Any
    candles: dict[str, Candles]
    has_symbols: bool
    ignored: list[str]


@dataclass(frozen=True)
class Forecast(Generic[Frame]):
    """Forecasts as a frame, with the answers and warnings of the server.

    Attributes
    ----------
    frame
        Of the library of the candles' frame, one row per future candle: `symbol` where the candles have that
        column, `timestamp` (the candle's open, in the zone of the candles'), `p10`, `p50` and `p90` of close
        over the sample paths, and `mean`, their mean close.
    samples
        With ``return_samples``, one row per sample path and future candle: `symbol` as above, `path` from 0,
        `timestamp`, and `close`, or all six features with ``"full"``. None otherwise.
    warnings
        Every warning about the forecasts, once, and about ignored columns. A warning begins with its code;
        those of one symbol are in `answers`.
    answers
        The server's answers by symbol.
    """

    frame: Frame
    samples: Frame | None
    warnings: list[str]
    answers: dict[str, PredictAnswer]

    @property
    def answer(self) -> PredictAnswer:
        """The server's answer to a forecast for one symbol.

        Raises
        ------
        ValueError
            If there are several symbols.
        """
        if len(self.answers) != 1:
            raise ValueError(
                f"a forecast of {len(self.answers)} symbols has no one answer: use answers[symbol]"
            )
        return next(iter(self.answers.values()))

    @property
    def seed(self) -> int:
        """The seed that reproduces the sample paths; all symbols of a call have the same."""
        return next(iter(self.answers.values())).seed

    @property
    def model(self) -> ModelName:
        """Name and version of the bundle that made the forecasts."""
        return next(iter(self.answers.values())).model


def read_candles(frame: Any, symbol: str | None, settings: ForecastSettings) -> CandleFrame:
    """Return the candles of a frame that a forecast with these settings can use.

    Parameters
    ----------
    frame
        Columns as `Client.forecast` describes them.
    symbol
        The candles' symbol, of a frame without a column `symbol`.
    settings
        Its `lookback` and `as_of` determine which rows are too old.

    Raises
    ------
    FrameError
        If columns are missing or repeated, values are missing or of a wrong type, the time stamps of a symbol
        do not increase, or the symbol is given twice or not at all.
    """
    library = library_of(frame)
    names = _by_lower_name(library.names(frame))
    times = [name for name in TIME_NAMES if name in names]
    index = None if times else library.index(frame)
    missing = [name for name in PRICES if name not in names]
    if not times and index is None:
        missing.insert(0, "timestamp")
    if missing:
        present = ", ".join(map(str, library.names(frame))) or "none"
        raise FrameError(f"columns missing: {', '.join(missing)}; found: {present}; {_EXPECTED}")
    if len(times) > 1:
        raise FrameError(
            f"the columns {' and '.join(times)} both hold time stamps; expected one: drop the other"
        )
    if ("symbol" in names) == (symbol is not None):
        raise FrameError(
            f"the frame has a column symbol and symbol={symbol!r} is given as well; leave one out"
            if symbol is not None
            else "whose candles these are is unknown: give symbol=…, or a column symbol"
        )
    time_name = names[times[0]] if times else None
    moments = index if time_name is None else library.values(frame, time_name)
    assert moments is not None
    instants = to_instants(moments, "the index" if time_name is None else time_name)
    if not len(instants):
        raise FrameError("the frame has no rows; expected past candles, oldest first")
    columns = {
        name: _numbers(library.values(frame, names[name]), names[name], instants, required=name in PRICES)
        for name in (*PRICES, *OPTIONAL)
        if name in names
    }
    if lengths := {name: len(values) for name, values in columns.items() if len(values) != len(instants)}:
        raise FrameError(f"columns differ in length: timestamp has {len(instants)} values and {lengths}")
    read = {*TIME_NAMES, *PRICES, *OPTIONAL, "symbol"}
    return CandleFrame(
        library=library,
        time_type=library.time_type(frame, time_name),
        candles={
            name: _candles(instants, columns, rows, name, settings)
            for name, rows in _rows_by_symbol(frame, library, names, symbol, len(instants)).items()
        },
        has_symbols=symbol is None,
        ignored=[name for lower, name in names.items() if lower not in read],
    )


def forecast_of(
    table: CandleFrame, answers: dict[str, PredictAnswer], warnings: Iterable[str]
) -> Forecast[Any]:
    """Return answers, at least one, as frames of the candles' library.

    Parameters
    ----------
    table
        The candles.
    answers
        By symbol.
    warnings
        Warnings about the call as a whole.
    """
    all_warnings = [*warnings]
    if table.ignored:
        text = f"columns of the frame that no forecast reads were ignored: {', '.join(table.ignored)}"
        all_warnings.append(warning(WarningCode.FIELDS_IGNORED, text))
    all_warnings += [text for answer in answers.values() for text in answer.warnings]
    steps = _stacked(
        {
            "timestamp": _naive(answer.timestamps),
            "p10": np.array(answer.p10),
            "p50": np.array(answer.p50),
            "p90": np.array(answer.p90),
            "mean": np.array(answer.mean.close),
        }
        for answer in answers.values()
    )
    symbols = {symbol: len(answer.timestamps) for symbol, answer in answers.items()}
    return Forecast(
        frame=_built(table, symbols, steps),
        samples=_samples(table, answers),
        warnings=list(dict.fromkeys(all_warnings)),
        answers=answers,
    )


def to_instants(values: Any, name: str) -> Instants:
    """Return instants as datetime64[us] in UTC.

    Parameters
    ----------
    values
        A sequence or array of datetimes or dates (naive means UTC), ISO 8601 text, or Unix times.
    name
        Their name in an error.

    Raises
    ------
    FrameError
        If an instant is missing or cannot be read.
    """
    column = as_column(values, name)
    if column.dtype.kind == "M":
        instants: Instants = column
    else:
        instants = np.array([_instant(value) for value in column.tolist()], dtype="datetime64[us]")
    unknown = np.isnat(instants)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise FrameError(
            f"{name} is {column[row]!r} in row {row}; expected a datetime (naive means UTC), ISO 8601 "
            "text or a Unix time of 1900 to 2199"
        )
    return instants


def to_wire(instants: Instants) -> list[Instant]:
    """Return instants as ISO 8601 text."""
    in_seconds = bool((instants == instants.astype("datetime64[s]")).all())
    texts: list[Instant] = np.datetime_as_string(
        instants, unit="s" if in_seconds else "us", timezone="UTC"
    ).tolist()
    return texts


def plain(value: Any) -> Any:
    """Return a setting in a form that JSON can represent: datetimes as text, NumPy numbers as Python
    numbers."""
    if isinstance(value, np.datetime64):
        return to_wire(np.array([value], dtype="datetime64[us]"))[0]
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if isinstance(value, date) else value


def _by_lower_name(columns: Sequence[Any]) -> dict[str, str]:
    """Return the names of columns by their lower-case form."""
    names: dict[str, str] = {}
    for name in columns:
        lower = str(name).strip().lower()
        if lower in names:
            raise FrameError(f"the columns {names[lower]} and {name} have one name; expected one of them")
        names[lower] = name
    return names


def _rows_by_symbol(
    frame: Any, library: Library, names: Mapping[str, str], symbol: str | None, count: int
) -> dict[str, NDArray[np.int64]]:
    if symbol is not None:
        return {symbol: np.arange(count)}
    column = library.values(frame, names["symbol"])
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(column.tolist()):
        if not isinstance(name, str) or not name:
            raise FrameError(f"symbol is {name!r} in row {row}; expected text")
        rows.setdefault(name, []).append(row)
    return {name: np.array(positions) for name, positions in rows.items()}


def _candles(
    instants: Instants,
    columns: Mapping[str, NDArray[np.float64]],
    rows: NDArray[np.int64],
    symbol: str,
    settings: ForecastSettings,
) -> Candles:
    stamps = instants[rows]
    backward = np.flatnonzero(np.diff(stamps) <= np.timedelta64(0, "us"))
    if backward.size:
        later = int(backward[0]) + 1
        raise FrameError(
            f"the time stamps of {symbol} don't increase: {stamps[later]} in row {rows[later]} follows "
            f"{stamps[later - 1]}; sort the frame by time, oldest first, and drop duplicates"
        )
    as_of = np.datetime64("now", "us") if settings.as_of is None else _instant(settings.as_of)
    if not np.isnat(as_of):
        begun = int(np.searchsorted(stamps, as_of, side="right"))
        rows = rows[max(begun - settings.lookback - _SPARE, 0) :]
    values: dict[str, Any] = {name: column[rows].tolist() for name, column in columns.items()}
    for name in OPTIONAL:
        if name in values:
            values[name] = [None if value != value else value for value in values[name]]
    return Candles(timestamp=to_wire(instants[rows]), **values)


def _numbers(column: Column, name: str, instants: Instants, *, required: bool) -> NDArray[np.float64]:
    """Return a column as float64, NaN where a value is unknown."""
    if column.dtype.kind == "M":
        raise FrameError(f"{name} holds time stamps; expected numbers")
    if column.dtype == object:
        for row, value in enumerate(column.tolist()):
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal | np.number | None):
                raise FrameError(
                    f"{name} is {value!r} in row {row}, no number; convert the column to numbers"
                )
    numbers = column.astype(np.float64)
    invalid = ~np.isfinite(numbers) if required else np.isinf(numbers)
    if invalid.any():
        row = int(np.argmax(invalid))
        when = f" ({instants[row]})" if row < len(instants) else ""
        raise FrameError(
            f"{name} is {numbers[row]} in row {row}{when}; expected a finite number: fill the value or "
            "drop the row"
        )
    return numbers


def _instant(value: Any) -> np.datetime64:
    """Return an instant as datetime64[us] in UTC, or NaT if it cannot be read."""
    if isinstance(value, str):
        instant = read_instant(value)
    elif isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        instant = np.datetime64(moment, "us")
    elif isinstance(value, date):
        instant = np.datetime64(value, "us")
    elif isinstance(value, int) and not isinstance(value, bool):
        instant = from_epoch(value)
    elif isinstance(value, float) and np.isfinite(value):
        instant = from_epoch(Decimal(value))
    else:
        instant = None
    return np.datetime64("NaT", "us") if instant is None else instant


def _naive(moments: Sequence[datetime]) -> Instants:
    return np.array([_instant(moment) for moment in moments], dtype="datetime64[us]")


def _samples(table: CandleFrame, answers: Mapping[str, PredictAnswer]) -> Any:
    parts: list[dict[str, Column]] = []
    for answer in answers.values():
        if answer.samples is None:
            return None
        paths = np.array(answer.samples, dtype=np.float64)
        features = paths.reshape(*paths.shape[:2], -1)  # [paths, pred_len, 1 or 6]
        names = ("close",) if features.shape[2] == 1 else FeatureColumns.__struct_fields__
        count, length = features.shape[:2]
        parts.append(
            {
                "path": np.repeat(np.arange(count), length),
                "timestamp": np.tile(_naive(answer.timestamps), count),
                **{name: features[:, :, i].ravel() for i, name in enumerate(names)},
            }
        )
    symbols = {symbol: len(part["path"]) for symbol, part in zip(answers, parts, strict=True)}
    return _built(table, symbols, _stacked(parts))


def _stacked(parts: Iterable[dict[str, Column]]) -> dict[str, Column]:
    all_parts = list(parts)
    return {name: np.concatenate([part[name] for part in all_parts]) for name in all_parts[0]}


def _built(table: CandleFrame, symbols: Mapping[str, int], columns: dict[str, Column]) -> Any:
    """Return a frame, with a column of symbols if the candles' frame has one."""
    if table.has_symbols:
        names = np.array(list(symbols), dtype=object)
        columns = {"symbol": np.repeat(names, list(symbols.values())), **columns}
    return table.library.build(columns, table.time_type)
