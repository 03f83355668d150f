"""Which releases fall on the candles of a forecast, and which of its candles lie on a day with a release."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from flows.events.config import KINDS, EventConfig
from flows.events.releases import Calendar, Releases, parse_calendar
from flows.events.window import event_window
from market.instruments import Instrument
from market.types import BoolArray, DatetimeArray

_NONE: Final = np.array([], dtype="datetime64[us]")


@dataclass(frozen=True)
class StepEvents:
    """What the calendar says of each step of a forecast.

    Attributes
    ----------
    kinds
        Per step, the kinds (fomc, cpi, nfp, gdp, pce, rate_decision, earnings) whose release falls on it.
    event_day
        (pred_len,) whether a release falls on the step's day: the UTC date of an hour's open, or the daily
        candle itself.
    """

    kinds: list[list[str]]
    event_day: BoolArray


class ReleaseDays:
    """The releases of a calendar, ready to be laid over forecasts.

    Parameters
    ----------
    calendar, rates
        Rows of ``economic_calendar`` and of ``central_bank_rates`` (or None), around all the forecasts.
    symbols
        Whose earnings count.
    config
        Which titles mean what.

    Raises
    ------
    flows.events.EventError
        No row of the calendar has a configured title.
    """

    def __init__(
        self, calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Sequence[str], config: EventConfig
    ) -> None:
        self._calendar: Calendar = parse_calendar(calendar, rates, symbols, config).as_known_today()

    def of(self, instrument: Instrument, timeframe: str, timestamps: DatetimeArray) -> StepEvents | None:
        """Return the events of a forecast's steps, or None where the calendar says nothing of their time.

        Parameters
        ----------
        timestamps
            (pred_len,) datetime64[us] UTC of the candles forecast, consecutive.
        """
        first, last = timestamps[0], timestamps[-1]
        if not self._calendar.covers(first, last) or self._calendar.rows[-1] < last:
            return None
        window = event_window(instrument, timeframe, timestamps, _NONE)
        releases = self._calendar.of(instrument.symbol)
        steps = window.row_of(releases.times)
        inside = (steps >= 0) & (steps < window.rows)
        kinds: list[list[str]] = [[] for _ in timestamps]
        found = zip(steps[inside].tolist(), releases.kind[inside].tolist(), strict=True)
        for step, kind in sorted(set(found)):
            kinds[step].append(KINDS[kind])
        if timeframe == "1d":
            return StepEvents(kinds, np.array([bool(names) for names in kinds]))
        return StepEvents(kinds, np.isin(_days(timestamps), _days(_around(releases, timestamps))))


def _days(times: DatetimeArray) -> DatetimeArray:
    return times.astype("datetime64[D]")


def _around(releases: Releases, timestamps: DatetimeArray) -> DatetimeArray:
    day = np.timedelta64(1, "D")
    start, end = np.searchsorted(releases.times, np.array([timestamps[0] - day, timestamps[-1] + day]))
    return releases.times[start:end]
