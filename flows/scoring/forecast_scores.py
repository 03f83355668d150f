"""Scores stored forecasts: compares each with the actual closes and with the releases on its candles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from flows.scoring.metrics import StepScores, score_steps
from flows.scoring.step_events import ReleaseDays, StepEvents
from market.instruments import Instrument
from market.time_grid import candle_bounds
from market.times import aware, instants
from market.types import DatetimeArray, Float64Array

UNKNOWN_INSTRUMENT: Final = "no such instrument; add it to the table instruments"
"""Why a forecast is not scored whose symbol has no instrument."""

NO_CANDLE: Final = "none of its candles is in the database yet"
"""Why a forecast is not scored of whose steps no candle is stored."""


@dataclass(frozen=True)
class StoredForecast:
    """A row of ``ml_predictions`` as scoring reads it.

    Attributes
    ----------
    timestamps, p10, p50, p90, p10_calibrated, p90_calibrated
        pred_len entries.
    samples
        Closes of sample_count paths, pred_len each, or None where they are not stored.
    backfilled
        Whether it was made afterwards.
    """

    symbol: str
    as_of: datetime
    model_name: str
    model_version: str | None
    timestamps: list[datetime]
    p10: list[float]
    p50: list[float]
    p90: list[float]
    p10_calibrated: list[float] | None
    p90_calibrated: list[float] | None
    samples: list[list[float]] | None
    events_active: list[str]
    updated_at: datetime | None
    backfilled: bool = False


@dataclass(frozen=True)
class ForecastScore:
    """The score of a stored forecast.

    Attributes
    ----------
    matured_at
        When the last candle of the forecast closed, aware.
    last_close
        Close of the candle that the forecast started from; NaN where unknown.
    events
        Releases on its candles; None where the calendar does not cover them.
    """

    forecast: StoredForecast
    matured_at: datetime
    last_close: float
    scores: StepScores
    events: StepEvents | None


class Closes:
    """Closes of many symbols, looked up by the timestamps of candles.

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
        """Return the closes of the candles with these timestamps, (n,); NaN where there is no such candle."""
        closes = np.full(len(timestamps), np.nan)
        if symbol in self._series:
            times, values = self._series[symbol]
            position = np.minimum(np.searchsorted(times, timestamps), len(times) - 1)
            exists = times[position] == timestamps
            closes[exists] = values[position[exists]]
        return closes


def matured_at(instrument: Instrument, timeframe: str, timestamps: DatetimeArray) -> datetime:
    """Return when the last candle of a forecast closes, aware.

    Raises
    ------
    ValueError
        The candle is outside the instrument's calendar.
    """
    return aware(candle_bounds(instrument, timeframe, timestamps[-1:])[1][0])


def score_forecasts(
    forecasts: Sequence[StoredForecast],
    instruments: Mapping[str, Instrument],
    timeframe: str,
    closes: Closes,
    releases: ReleaseDays | None,
) -> tuple[list[ForecastScore], list[tuple[StoredForecast, str]]]:
    """Score the forecasts of which a close is known.

    Parameters
    ----------
    forecasts
        Of one timeframe, whose last candle has closed.
    instruments
        By symbol, of all the forecasts.
    releases
        None where the calendar can't be read: the scores are then without events.

    Returns
    -------
    scores, unscored
        The scores, and the forecasts that could not be scored, each with the reason.
    """
    scores: list[ForecastScore] = []
    unscored: list[tuple[StoredForecast, str]] = []
    for forecast in forecasts:
        try:
            score = score_forecast(forecast, instruments[forecast.symbol], timeframe, closes, releases)
        except ValueError as error:  # one broken row must not keep the others from being scored
            unscored.append((forecast, str(error)))
            continue
        if np.isnan(score.scores.actual).all():
            unscored.append((forecast, NO_CANDLE))
        else:
            scores.append(score)
    return scores, unscored


def score_forecast(
    forecast: StoredForecast,
    instrument: Instrument,
    timeframe: str,
    closes: Closes,
    releases: ReleaseDays | None,
) -> ForecastScore:
    """Score one forecast.

    Raises
    ------
    ValueError
        Its arrays don't fit together, or its times are outside the instrument's calendar.
    """
    lengths = {len(forecast.timestamps), len(forecast.p10), len(forecast.p50), len(forecast.p90)}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError("timestamps, p10, p50 and p90 of the forecast differ in length or are empty")
    timestamps = instants(forecast.timestamps)
    last_close = float(closes.at(forecast.symbol, instants([forecast.as_of]))[0])
    low, high = forecast.p10_calibrated, forecast.p90_calibrated
    return ForecastScore(
        forecast=forecast,
        matured_at=matured_at(instrument, timeframe, timestamps),
        last_close=last_close,
        scores=score_steps(
            np.array([forecast.p10, forecast.p50, forecast.p90], dtype=np.float64),
            closes.at(forecast.symbol, timestamps),
            last_close,
            calibrated=None if low is None or high is None else (low, high),
            paths=None if forecast.samples is None else np.array(forecast.samples, dtype=np.float64),
        ),
        events=None if releases is None else releases.of(instrument, timeframe, timestamps),
    )
