"""Builds the window of candles that a forecast is made from, and the timestamps that it is made for."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from inference_server.errors import InvalidCandles, InvalidRequest, TooFewCandles
from inference_server.forecast.instants import iso, parse_instants
from inference_server.schemas import Candles, Limits, PredictRequest
from market.aggregation import MissingParts
from market.candles import FEATURES, candle_columns, features_without_gaps
from market.closed_candles import last_closed
from market.feed_grid import feed_grid
from market.instruments import Instrument
from market.similar_symbols import did_you_mean
from market.spacing import continues, contradiction, other_spacing, spacing_text
from market.timeframes import CANDLE_LENGTH
from market.types import DatetimeArray, Float64Array, Int64Array


@dataclass(frozen=True)
class Window:
    """Candles of one symbol, oldest first.

    Attributes
    ----------
    features
        (T, 6) in raw units.
    timestamps
        (T,) in UTC.
    missing
        Of aggregated candles, the finer ones that they lack; None for candles as stored or sent.
    """

    features: Float64Array
    timestamps: DatetimeArray
    missing: MissingParts | None = None

    def __len__(self) -> int:
        return len(self.timestamps)

    def keep(self, rows: Int64Array) -> "Window":
        """Return a window of the candles at some positions."""
        missing = None if self.missing is None else self.missing.keep(rows)
        return Window(np.ascontiguousarray(self.features[rows]), self.timestamps[rows], missing)


def parse_candles(candles: Candles) -> Window:
    """Return the candles of a request as a window; NaN where volume or amount is unknown.

    Raises
    ------
    InvalidRequest, CandleError
        If timestamps are unreadable or not increasing, a column differs in length, a price is missing, or a
        value is out of range.
    """
    timestamps = parse_instants(candles.timestamp, "candles.timestamp")
    features = candle_columns({name: getattr(candles, name) for name in FEATURES})
    if len(features) != len(timestamps):
        raise InvalidCandles(
            f"candles.timestamp has {len(timestamps)} values and candles.open has {len(features)}",
            given=[len(timestamps), len(features)],
            expected="columns of equal length",
        )
    return Window(features, timestamps)


def closed_window(
    window: Window,
    request: PredictRequest,
    instrument: Instrument | None,
    as_of: np.datetime64,
    limits: Limits,
) -> Window:
    """Return the last `lookback` candles that had closed by an instant.

    Candles whose spacing is not that of `timeframe` are accepted if the request's future timestamps continue
    at the same spacing, which is then the length of a candle.

    Parameters
    ----------
    instrument
        None for a symbol that is not registered: its candles last an hour or a day around the clock.
    as_of
        The instant of the request.

    Raises
    ------
    TooFewCandles
        If fewer than `limits.min_candles` remain; the error says how many there are.
    InvalidRequest
        If the spacing is not that of `timeframe` and no future timestamps continue at it, or a timestamp is
        outside the instrument's trading calendar.
    """
    spacing = _own_spacing(window, request)
    try:
        rows = last_closed(window.timestamps, request.timeframe, as_of, request.lookback, instrument, spacing)
    except ValueError as error:
        raise InvalidCandles(f"candles of {request.symbol}: {error}") from error
    kept = window.keep(rows)
    if len(kept) < limits.min_candles:
        raise TooFewCandles(
            f"{request.symbol} has {len(kept)} candles of {request.timeframe} closed by {iso(as_of)}; "
            f"expected at least {limits.min_candles}",
            given=len(kept),
            expected=f"at least {limits.min_candles}",
        )
    return kept


def without_gaps(window: Window) -> Window:
    """Return a window whose volume and amount are filled as if a column with a gap were absent.

    Raises
    ------
    InvalidCandles, CandleError
        If a price is missing or not finite.
    """
    broken = ~np.isfinite(window.features[:, :4]).all(axis=1)
    if broken.any():
        time = iso(window.timestamps[int(np.argmax(broken))])
        raise InvalidCandles(
            f"the stored candle of {time} lacks a price: correct it in the database", given=time
        )
    return Window(features_without_gaps(window.features), window.timestamps)


def timestamps_to_forecast(
    request: PredictRequest, window: Window, instrument: Instrument | None, registered: Collection[str] = ()
) -> DatetimeArray:
    """Return the timestamps of the candles to generate: the request's, or those that follow the window.

    Timestamps that follow the window are on the grid of its candles: the trading calendar's or the feed's.

    Parameters
    ----------
    registered
        Symbols that the error may suggest in place of one that is not registered.

    Raises
    ------
    InvalidRequest
        If the request's are not pred_len strictly increasing instants after the last candle, or it has none
        and the trading calendar is unknown.
    """
    last = window.timestamps[-1]
    if request.future_timestamps is None:
        if instrument is None:
            raise InvalidRequest(
                f"{request.symbol} is no registered symbol, so its trading calendar is unknown: "
                "send future_timestamps with the candles, or register it in the table instruments"
                + did_you_mean(request.symbol, registered),
                expected=f"future_timestamps with {request.pred_len} instants",
            )
        try:
            grid = feed_grid(instrument, request.timeframe, window.timestamps)
            return grid.after(last, request.pred_len)
        except ValueError as error:
            raise InvalidRequest(f"future timestamps of {request.symbol}: {error}") from error
    future = parse_instants(request.future_timestamps, "future_timestamps")
    if len(future) != request.pred_len:
        raise InvalidRequest(
            f"future_timestamps holds {len(future)} instants and pred_len is {request.pred_len}",
            given=len(future),
            expected=f"{request.pred_len} instants",
        )
    if future[0] <= last:
        raise InvalidRequest(
            f"future_timestamps begin at {iso(future[0])}, not after the last candle used ({iso(last)})",
            given=iso(future[0]),
            expected=f"instants after {iso(last)}",
        )
    return future


def _own_spacing(window: Window, request: PredictRequest) -> np.timedelta64 | None:
    """Return the spacing of candles if it is not that of `timeframe`, otherwise None.

    Raises
    ------
    InvalidCandles
        If it is not, and the request has no future timestamps that continue at it.
    """
    stamps = window.timestamps[-request.lookback :]
    spacing = other_spacing(stamps, request.timeframe)
    if spacing is None:
        return None
    fault = contradiction(request.symbol, spacing, request.timeframe)
    if request.future_timestamps is not None:
        future = parse_instants(request.future_timestamps, "future_timestamps")
        if continues(future[future > stamps[-1]], stamps[-1], spacing):
            return spacing
        fault += ", and future_timestamps do not continue at that spacing"
    raise InvalidCandles(
        f"{fault}: give candles of {request.timeframe}, or future_timestamps {spacing_text(spacing)} apart",
        given=spacing_text(spacing),
        expected=f"candles {spacing_text(CANDLE_LENGTH[request.timeframe])} apart",
    )
