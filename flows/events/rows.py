"""Rows of the calendar, sorted into series with one row per release; the rules:

- A row belongs to a series by currency and title (``events.toml``); earnings by event_type and symbol.
- Rows of one series on one UTC date are one event, scheduled and unscheduled ones apart. Its time is that of
  a row whose time is known, then of one that carries figures, then the earliest. Figures are the first found
  in rows of just that time, for those of a later row were not public then.
- Where only the date is known the event stands at 00:00 UTC of that date, which puts it on the candle of the
  date (on the first one for 1h); its figures count as public when the date is over, since nobody can say when
  they were.
- Revisions of `previous` are ignored; an actual that is missing though the time has passed is no surprise.
- A decision is unscheduled if the column says so or the configuration lists its time.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.events.config import RATE, EventConfig, EventError
from flows.events.figures import Floats
from inference_server.time_grid import BoolArray, DatetimeArray

CALENDAR_SCHEMA: Final = {
    "event_time": pl.Datetime("us", "UTC"),
    "time_known": pl.Boolean(),
    "scheduled": pl.Boolean(),
    "currency": pl.String(),
    "symbol": pl.String(),
    "event_type": pl.String(),
    "title": pl.String(),
    "actual": pl.Float64(),
    "forecast": pl.Float64(),
    "previous": pl.Float64(),
    "hawkish_score": pl.Float64(),
}
EARNINGS: Final = "earnings "  # with the symbol
FIGURES: Final = ("actual", "forecast", "previous", "hawkish_score")


@dataclass(frozen=True)
class Rows:
    """Rows of the calendar, each with the number of its series; a row of two series is there twice."""

    series: NDArray[np.int64]  # (n,)
    times: DatetimeArray  # (n,)
    timed: BoolArray  # (n,)
    scheduled: BoolArray  # (n,)
    carries: BoolArray  # (n,) its actual and forecast are the series' figures
    figures: Floats  # (n, 4): actual, forecast, previous, hawkish_score

    def take(self, index: NDArray[np.int64]) -> "Rows":
        """Return the rows at some positions."""
        return Rows(
            self.series[index],
            self.times[index],
            self.timed[index],
            self.scheduled[index],
            self.carries[index],
            self.figures[index],
        )


def read_rows(
    calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Collection[str], config: EventConfig
) -> tuple[dict[str, int], Rows]:
    """Return the number of each series by name, and the releases, ordered by that number and by time.

    Parameters
    ----------
    calendar, rates, symbols, config
        As `flows.events.releases.parse_calendar` takes them.

    Raises
    ------
    EventError
        A column is missing, or no row has a configured title.
    """
    missing = sorted(set(CALENDAR_SCHEMA) - set(calendar.columns))
    if missing:
        raise EventError(f"the calendar lacks the columns {', '.join(missing)}; select them in the query")
    names = dict(config.series)
    found = _found(_tracked(calendar, config), names, symbols, config)
    if not calendar.is_empty() and not (found.series < len(config.series)).any():
        raise EventError(
            f"none of the {len(calendar)} calendar rows has a configured currency and title such as "
            f"USD {config.releases['fomc'].titles[0]!r}; name yours in a copy of flows/events/events.toml"
        )
    if rates is not None and not rates.is_empty():
        found = _joined(found, _found_rates(names, rates, config))
    return names, _one_per_release(found)


def _joined(*parts: Rows) -> Rows:
    return Rows(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Rows)))


def _tracked(calendar: pl.DataFrame, config: EventConfig) -> dict[str, pl.Series]:
    """Return the columns of the schema, of the rows with configured titles and of all earnings.

    In operations on single columns: a query takes longer to start than these take.
    """
    titles = calendar["title"].cast(config.titles, strict=False)  # null for any other title
    kept = (titles == titles) | _are_earnings(calendar["event_type"])  # a row that gets a null is left out
    if calendar["event_time"].null_count():
        kept &= calendar["event_time"].is_not_null()
    return {name: calendar[name].filter(kept) for name in CALENDAR_SCHEMA}


def _are_earnings(event_type: pl.Series) -> pl.Series:
    return event_type.cast(pl.String) == "earnings"


def _found(
    kept: Mapping[str, pl.Series], names: dict[str, int], symbols: Collection[str], config: EventConfig
) -> Rows:
    """Return the rows under the numbers of their series; each symbol's earnings get one in `names`."""
    pairs = zip(kept["currency"].to_list(), kept["title"].to_list(), strict=True)
    belongs = [config.places.get(pair, []) for pair in pairs]
    earnings = _are_earnings(kept["event_type"]).cast(pl.Float64).to_numpy() == 1.0
    for row in np.flatnonzero(earnings).tolist():
        symbol = kept["symbol"][row]
        if symbol in symbols:
            belongs[row] = [(names.setdefault(EARNINGS + symbol, len(names)), False)]
        elif symbol is not None:
            belongs[row] = []
    rows = np.repeat(np.arange(len(belongs)), [len(found) for found in belongs])
    times, timed, scheduled = _schedule(kept, "event_time", config)
    return Rows(
        np.array([number for found in belongs for number, _ in found], dtype=np.int64),
        times[rows],
        timed[rows],
        scheduled[rows],
        np.array([carries for found in belongs for _, carries in found], dtype=np.bool_),
        np.column_stack([_numbers(kept[name]) for name in FIGURES])[rows],
    )


def _found_rates(names: dict[str, int], rates: pl.DataFrame, config: EventConfig) -> Rows:
    """Return the decisions of ``central_bank_rates``, whose banks get numbers in `names`."""
    kept = rates.drop_nulls("decision_time")
    return Rows(
        np.array([names.setdefault(RATE + str(bank), len(names)) for bank in kept["bank"]], dtype=np.int64),
        *_schedule(kept.to_dict(), "decision_time", config),
        np.zeros(len(kept), dtype=np.bool_),
        np.full((len(kept), len(FIGURES)), np.nan),
    )


def _schedule(
    rows: Mapping[str, pl.Series], time_column: str, config: EventConfig
) -> tuple[DatetimeArray, BoolArray, BoolArray]:
    """Return times, whether they are known to the minute, and whether they were known ahead."""
    timed = _flags(rows["time_known"])
    times = instants(rows[time_column])
    dates = times.astype("datetime64[D]").astype("datetime64[us]")
    unexpected = (times[:, None] == config.unscheduled).any(axis=1)
    return np.where(timed, times, dates), timed, _flags(rows["scheduled"]) & ~unexpected


def _one_per_release(rows: Rows) -> Rows:
    """Merge the rows of one series and date; what is left is ordered by series and time."""
    days = rows.times.astype("datetime64[D]")
    # The last key counts first; rows that tie stay in the order of the calendar.
    rows = rows.take(np.lexsort((rows.times, ~rows.carries, ~rows.timed, ~rows.scheduled, days, rows.series)))
    days = rows.times.astype("datetime64[D]")
    new = np.ones(len(days), dtype=np.bool_)
    new[1:] = (rows.series[1:] != rows.series[:-1]) | (days[1:] != days[:-1])
    new[1:] |= rows.scheduled[1:] != rows.scheduled[:-1]
    starts = np.flatnonzero(new)
    if not starts.size:
        return rows
    event = np.cumsum(new) - 1
    same_time = (rows.times == rows.times[starts][event]) & (rows.timed == rows.timed[starts][event])
    usable = np.isfinite(rows.figures) & same_time[:, None]
    usable[:, : FIGURES.index("hawkish_score")] &= rows.carries[:, None]
    nth = np.where(usable, np.arange(len(days))[:, None], len(days))
    first = np.minimum.reduceat(nth, starts, axis=0)  # (events, 4): the row that each figure is taken from
    padded = np.concatenate([rows.figures, np.full((1, len(FIGURES)), np.nan)])
    merged = replace(rows.take(starts), figures=np.take_along_axis(padded, first, axis=0))
    return merged.take(np.lexsort((merged.times, merged.series)))


def instants(column: pl.Series) -> DatetimeArray:
    """Return a column of instants as datetime64[us] UTC, (n,)."""
    return column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")


def _numbers(column: pl.Series) -> Floats:
    """Return figures, (n,) float64, NaN where they are null."""
    return column.cast(pl.Float64).to_numpy()


def _flags(column: pl.Series) -> BoolArray:
    """Return truths, (n,) bool, true where they are null."""
    # As a number null is NaN, which is not 0; fill_null would start a query for a handful of rows.
    return np.asarray(column.cast(pl.Boolean).cast(pl.Float64).to_numpy() != 0)
