"""Finds the forecasts that are due for scoring: those that are new, made again, or marked as changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import psycopg

from flows.runtime.aggregated_candles import aggregated_candles
from flows.runtime.candle_columns import symbols_with_candles
from flows.scoring.forecast_scores import NO_CANDLE, UNKNOWN_INSTRUMENT, matured_at
from flows.scoring.store import ForecastKey
from market.instruments import Instrument
from market.timeframes import CANDLE_TABLE
from market.times import instants
from sql.loading import load_for_table

MOST_DUE: Final = 100_000
"""Forecasts that one run looks at; the next one goes on. Their scores take some minutes, their keys 60 MB."""


@dataclass(frozen=True)
class DueForecast:
    """A forecast that is not scored in its present state, and whose last candle has begun.

    Attributes
    ----------
    last_ts
        Open of its last candle.
    has_candle
        Whether a candle is stored between its as_of and `last_ts`, or may be aggregated, as for a symbol that
        the timeframe's table lacks.
    """

    key: ForecastKey
    last_ts: datetime
    has_candle: bool


def due_forecasts(connection: psycopg.Connection[Any], timeframe: str, as_of: datetime) -> list[DueForecast]:
    """Return the forecasts that are due and whose last candle had begun by an instant, at most `MOST_DUE`.

    Those that may have a close come first, live ones before backfilled ones, and of each the oldest first.
    """
    query = load_for_table("due_forecasts", CANDLE_TABLE[timeframe])
    rows = connection.execute(query, {"timeframe": timeframe, "as_of": as_of, "n": MOST_DUE})
    due = [DueForecast(ForecastKey(*key), last_ts, has_candle) for *key, last_ts, has_candle in rows]
    without = {forecast.key.symbol for forecast in due if not forecast.has_candle}
    without -= symbols_with_candles(connection, timeframe, without)
    aggregated = aggregated_candles(connection, timeframe, sorted(without), 1, as_of)
    return [
        replace(forecast, has_candle=forecast.has_candle or forecast.key.symbol in aggregated)
        for forecast in due
    ]


def scorable(
    forecasts: Sequence[DueForecast], instruments: Mapping[str, Instrument], timeframe: str, as_of: datetime
) -> tuple[list[ForecastKey], list[tuple[ForecastKey, str]]]:
    """Divide due forecasts, without reading their arrays.

    Returns
    -------
    scorable, unscorable
        Those whose last candle had closed by `as_of` and that may have a close, and those that can't be
        scored, each with the reason. Forecasts whose last candle is open are in neither.
    """
    keys: list[ForecastKey] = []
    unscorable: list[tuple[ForecastKey, str]] = []
    for forecast in forecasts:
        instrument = instruments.get(forecast.key.symbol)
        if instrument is None:
            unscorable.append((forecast.key, UNKNOWN_INSTRUMENT))
            continue
        try:
            matured = matured_at(instrument, timeframe, instants([forecast.last_ts])) <= as_of
        except ValueError as error:  # one broken row must not keep the others from being scored
            unscorable.append((forecast.key, str(error)))
            continue
        if matured and forecast.has_candle:
            keys.append(forecast.key)
        elif matured:
            unscorable.append((forecast.key, NO_CANDLE))
    return keys, unscorable
