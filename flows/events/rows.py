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

from flows.events.config import EventConfig, EventError
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
RATE: Final = "rate_decision "  # with the currency or bank: the series of one central bank's decisions
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
    titles = _titles(config)
    tracked = pl.col("title").is_in({title for _, title in titles}) | (
        (pl.col("event_type") == "earnings") & pl.col("symbol").is_in(list(symbols))
    )
    kept = calendar.filter(tracked & pl.col("event_time").is_not_null())
    names, found = _found(kept, titles, config)
    if not calendar.is_empty() and all(name.startswith(EARNINGS) for name in names):
        raise EventError(
            f"none of the {len(calendar)} calendar rows has a configured currency and title such as "
            f"USD {config.releases['fomc'].titles[0]!r}; name yours in a copy of flows/events/events.toml"
        )
    if rates is not None and not rates.is_empty():
        found = _joined(found, _found_rates(names, rates, config))
    return names, _one_per_release(found)


def _joined(*parts: Rows) -> Rows:
    return Rows(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Rows)))


def _titles(config: EventConfig) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """Return for each currency and title the series it belongs to, and whether it carries their figures."""
    titles: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for family, found in config.releases.items():
        for title in dict.fromkeys((*found.titles, *found.surprise)):
            titles.setdefault((found.currency, title), []).append((family, title in found.surprise))
    for currency, names in config.rate_decisions.items():
        for title in names:
            titles.setdefault((currency, title), []).append((RATE + currency, False))
    return titles


def _found(
    kept: pl.DataFrame, titles: Mapping[tuple[str, str], list[tuple[str, bool]]], config: EventConfig
) -> tuple[dict[str, int], Rows]:
    """Return the number of each series by name, and the rows under those numbers."""
    index: dict[tuple[str, bool], list[int]] = {}  # rows by series and whether they carry its figures
    columns = (kept[name].to_list() for name in ("currency", "title", "event_type", "symbol"))
    for row, (currency, title, event_type, symbol) in enumerate(zip(*columns, strict=True)):
        earnings = event_type == "earnings" and symbol is not None
        for place in [(EARNINGS + symbol, False)] if earnings else titles.get((currency, title), ()):
            index.setdefault(place, []).append(row)
    names = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in index))}
    counts = [len(found) for found in index.values()]
    rows = np.array([row for found in index.values() for row in found], dtype=np.int64)
    times, timed, scheduled = _schedule(kept, "event_time", config)
    return names, Rows(
        np.repeat(np.array([names[name] for name, _ in index], dtype=np.int64), counts),
        times[rows],
        timed[rows],
        scheduled[rows],
        np.repeat(np.array([carries for _, carries in index], dtype=np.bool_), counts),
        np.column_stack([_numbers(kept[name]) for name in FIGURES])[rows],
    )


def _found_rates(names: dict[str, int], rates: pl.DataFrame, config: EventConfig) -> Rows:
    """Return the decisions of ``central_bank_rates``, whose banks get numbers in `names`."""
    kept = rates.drop_nulls("decision_time")
    return Rows(
        np.array([names.setdefault(RATE + str(bank), len(names)) for bank in kept["bank"]], dtype=np.int64),
        *_schedule(kept, "decision_time", config),
        np.zeros(len(kept), dtype=np.bool_),
        np.full((len(kept), len(FIGURES)), np.nan),
    )


def _schedule(
    rows: pl.DataFrame, time_column: str, config: EventConfig
) -> tuple[DatetimeArray, BoolArray, BoolArray]:
    """Return times, whether they are known to the minute, and whether they were known ahead."""
    timed = _flags(rows["time_known"])
    times = instants(rows[time_column])
    dates = times.astype("datetime64[D]").astype("datetime64[us]")
    expected = _flags(rows["scheduled"]) & ~np.isin(times, config.unscheduled)
    return np.where(timed, times, dates), timed, expected


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
