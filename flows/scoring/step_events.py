"""Returns which releases fall on the candles of a forecast, and which candles lie on a day with a release."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from flows.events.config import KINDS, EventConfig
from flows.events.releases import EconomicCalendar, Releases, parse_calendar
from flows.events.window import event_window
from market.instruments import Instrument
from market.timeframes import INTRADAY
from market.types import BoolArray, DatetimeArray

_NO_FUTURE: Final = np.array([], dtype="datetime64[us]")


@dataclass(frozen=True)
class StepEvents:
    """The releases on each step of a forecast.

    Attributes
    ----------
    kinds
        Per step, the kinds (fomc, cpi, nfp, gdp, pce, rate_decision, earnings) whose release falls on it.
    event_day
        (pred_len,) whether a release falls on the step's day: the UTC date of its open, or a daily or
        weekly candle itself.
    """

    kinds: list[list[str]]
    event_day: BoolArray


class ReleaseDays:
    """The releases of a calendar, ready to be placed on the candles of forecasts.

    Parameters
    ----------
    calendar, rates
        Rows of ``economic_calendar`` and of ``central_bank_rates`` (or None), around all the forecasts.
    symbols
        Symbols whose earnings count.
    config
        Which titles belong to which series.

    Raises
    ------
    flows.events.EventError
        No row of the calendar has a configured title.
    """

    def __init__(
        self, calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Sequence[str], config: EventConfig
    ) -> None:
        self._calendar: EconomicCalendar = parse_calendar(calendar, rates, symbols, config).as_known_today()

    def of(self, instrument: Instrument, timeframe: str, timestamps: DatetimeArray) -> StepEvents | None:
        """Return the events of a forecast's steps, or None where the calendar does not cover them.

        Parameters
        ----------
        timestamps
            (pred_len,) datetime64[us] UTC of the candles forecast, consecutive.
        """
        first, last = timestamps[0], timestamps[-1]
        if not self._calendar.covers(first, last) or self._calendar.rows[-1] < last:
            return None
        window = event_window(instrument, timeframe, timestamps, _NO_FUTURE)
        releases = self._calendar.of(instrument.symbol)
        steps = window.row_of(releases.times)
        inside = (steps >= 0) & (steps < window.rows)
        kinds: list[list[str]] = [[] for _ in timestamps]
        placed = zip(steps[inside].tolist(), releases.kind[inside].tolist(), strict=True)
        for step, kind in sorted(set(placed)):
            kinds[step].append(KINDS[kind])
        if timeframe not in INTRADAY:
            return StepEvents(kinds, np.array([bool(names) for names in kinds]))
        return StepEvents(kinds, np.isin(_days(timestamps), _days(_around(releases, timestamps))))

    def by_day(self) -> dict[tuple[str, date], str]:
        """Return everything that `of` depends on as text, by symbol and UTC day.

        The symbol is "" for releases of the economy; days whose rows are of no tracked series have "" there,
        because `of` asks which days have rows. Each symbol with earnings has entries of its own.
        """
        days: dict[tuple[str, date], list[str]] = defaultdict(list)
        for day in np.unique(_days(self._calendar.rows)).tolist():
            days["", day] = []
        _add(days, "", self._calendar.releases)
        earnings = KINDS.index("earnings")
        for symbol, releases in self._calendar.with_earnings.items():
            _add(days, symbol, releases.take(releases.kind == earnings))
        return {key: ", ".join(sorted(releases)) for key, releases in days.items()}


def _add(days: dict[tuple[str, date], list[str]], symbol: str, releases: Releases) -> None:
    """Add releases to the lists of their days."""
    columns = (_days(releases.times), releases.times, releases.timed, releases.kind)
    for day, time, timed, kind in zip(*(column.tolist() for column in columns), strict=True):
        days[symbol, day].append(f"{KINDS[kind]} {time.isoformat() if timed else 'untimed'}")


def _days(times: DatetimeArray) -> DatetimeArray:
    return times.astype("datetime64[D]")


def _around(releases: Releases, timestamps: DatetimeArray) -> DatetimeArray:
    """Return the times of the releases from a day before the first candle to a day after the last one."""
    day = np.timedelta64(1, "D")
    start, end = np.searchsorted(releases.times, np.array([timestamps[0] - day, timestamps[-1] + day]))
    return releases.times[start:end]
