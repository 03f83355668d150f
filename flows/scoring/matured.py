"""Scores of stored forecasts: each meets the closes that came and the releases on its candles."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from flows.scoring.metrics import score_steps
from flows.scoring.step_events import ReleaseDays
from flows.scoring.steps import known, numbers, truths
from flows.scoring.store import ScoreRow, StoredForecast
from market.instruments import Instrument
from market.time_grid import candle_bounds
from market.types import DatetimeArray, Float64Array


class Closes:
    """Closes of many symbols, to be looked up by the timestamps of candles.

    Parameters
    ----------
    candles
        symbol, ts and close, ordered by symbol and ts.
    """

    def __init__(self, candles: pl.DataFrame) -> None:
        # A close that is no number is unknown, as an absent one is.
        usable = candles.filter(pl.col("close").cast(pl.Float64).is_finite())
        self._series = {
            str(symbol): (
                part["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]"),
                part["close"].cast(pl.Float64).to_numpy(),
            )
            for (symbol,), part in usable.partition_by("symbol", as_dict=True).items()
        }

    def at(self, symbol: str, timestamps: DatetimeArray) -> Float64Array:
        """Return the closes of the candles stamped so, (n,); NaN where there is no such candle."""
        closes = np.full(len(timestamps), np.nan)
        if symbol in self._series:
            times, values = self._series[symbol]
            place = np.minimum(np.searchsorted(times, timestamps), len(times) - 1)
            found = times[place] == timestamps
            closes[found] = values[place[found]]
        return closes


def instants(times: Sequence[datetime]) -> DatetimeArray:
    """Return aware times as datetime64[us] UTC, (n,)."""
    return np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[us]")


def matured_at(instrument: Instrument, timeframe: str, timestamps: DatetimeArray) -> datetime:
    """Return when the last candle of a forecast closes, aware."""
    close: datetime = candle_bounds(instrument, timeframe, timestamps[-1:])[1][0].item()
    return close.replace(tzinfo=UTC)


def score_forecasts(
    forecasts: Sequence[StoredForecast],
    instruments: Mapping[str, Instrument],
    timeframe: str,
    as_of: datetime,
    closes: Closes,
    releases: ReleaseDays | None,
) -> tuple[list[ScoreRow], dict[str, list[str]]]:
    """Score the forecasts whose last candle had closed by an instant and of which a close is known.

    Parameters
    ----------
    forecasts
        Of one timeframe.
    releases
        None where the calendar can't be read: the scores then say nothing of events.

    Returns
    -------
    rows, left
        The scores, and the symbols of the forecasts that were left for later by reason.
    """
    rows: list[ScoreRow] = []
    left: dict[str, list[str]] = {}
    for forecast in forecasts:
        try:
            instrument = instruments.get(forecast.symbol)
            if instrument is None:
                raise ValueError("no such instrument; add it to the table instruments")
            score = score_forecast(forecast, instrument, timeframe, closes, releases)
        except ValueError as error:  # one broken row must not keep the others from being scored
            left.setdefault(str(error), []).append(forecast.symbol)
            continue
        if score.matured_at > as_of:
            continue
        if all(close is None for close in score.actual):
            left.setdefault("none of its candles is in the database yet", []).append(forecast.symbol)
        else:
            rows.append(score)
    return rows, left


def score_forecast(
    forecast: StoredForecast,
    instrument: Instrument,
    timeframe: str,
    closes: Closes,
    releases: ReleaseDays | None,
) -> ScoreRow:
    """Score one forecast.

    Raises
    ------
    ValueError
        Its arrays don't fit together, or its times are outside the instrument's calendar.
    """
    lengths = {len(forecast.timestamps), len(forecast.p10), len(forecast.p50), len(forecast.p90)}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("timestamps, p10, p50 and p90 of the forecast differ in length or are empty")
    stamps = instants(forecast.timestamps)
    last_close = float(closes.at(forecast.symbol, instants([forecast.as_of]))[0])
    low, high = forecast.p10_calibrated, forecast.p90_calibrated
    scores = score_steps(
        np.array([forecast.p10, forecast.p50, forecast.p90], dtype=np.float64),
        closes.at(forecast.symbol, stamps),
        last_close,
        calibrated=None if low is None or high is None else (low, high),
        paths=None if forecast.samples is None else np.array(forecast.samples, dtype=np.float64),
    )
    events = None if releases is None else releases.of(instrument, timeframe, stamps)
    return ScoreRow(
        symbol=forecast.symbol,
        timeframe=timeframe,
        as_of=forecast.as_of,
        model_name=forecast.model_name,
        model_version=forecast.model_version,
        pred_len=len(stamps),
        matured_at=matured_at(instrument, timeframe, stamps),
        last_close=None if np.isnan(last_close) else last_close,
        actual=numbers(scores.actual),
        covered=truths(scores.covered),
        covered_calibrated=truths(scores.covered_calibrated) if known(scores.covered_calibrated) else None,
        pinball=numbers(scores.pinball),
        abs_error=numbers(scores.abs_error),
        direction_hit=truths(scores.direction_hit),
        crps=numbers(scores.crps) if known(scores.crps) else None,
        events_active=forecast.events_active,
        step_events=None if events is None else [",".join(kinds) for kinds in events.kinds],
        event_day=None if events is None else events.event_day.tolist(),
        forecast_updated_at=forecast.updated_at,
    )
