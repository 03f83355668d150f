"""The calendar of a run as arrays, parsed once for all symbols: each series, one event per release.

The rules for rows of the calendar:

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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.events.config import FAMILIES, EventConfig, EventError
from flows.events.figures import Floats, direction, hawkish_score, surprise_z
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
# The same columns with flags true and figures NaN where they are null.
_PREPARED: Final = [
    pl.col(name).cast(dtype).fill_null({pl.Boolean(): True, pl.Float64(): np.nan}[dtype])
    if dtype in (pl.Boolean(), pl.Float64())
    else pl.col(name).cast(dtype)
    for name, dtype in CALENDAR_SCHEMA.items()
]
_SCORED: Final = ("cpi", "nfp")  # families with a z-score among the channels
_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")
KINDS: Final = (*FAMILIES, "rate_decision", "earnings")
_RATE: Final = "rate_decision "  # with the currency or bank: the series of one central bank's decisions
_EARNINGS: Final = "earnings "  # with the symbol
_FIGURES: Final = ("actual", "forecast", "previous", "hawkish_score")


@dataclass(frozen=True)
class Releases:
    """Events of one or of several kinds, oldest first.

    Attributes
    ----------
    kind : (n,) int64
        Index into `KINDS`.
    times : (n,) datetime64[us]
        When it happens, UTC.
    timed : (n,) bool
        False where only the date is known.
    scheduled : (n,) bool
        Known ahead.
    public_at : (n,) datetime64[us]
        When its figures are public.
    score : (n,) float64
        Value of the surprise channel; NaN where there is none.
    direction : (n,) float64
        Sign of the surprise; NaN where there is none.
    """

    kind: NDArray[np.int64]
    times: DatetimeArray
    timed: BoolArray
    scheduled: BoolArray
    public_at: DatetimeArray
    score: Floats
    direction: Floats

    def take(self, index: NDArray[np.int64] | BoolArray) -> "Releases":
        """Return the events at some positions."""
        return Releases(*(getattr(self, each.name)[index] for each in fields(self)))

    def known_at(self, instant: np.datetime64) -> BoolArray:
        """Tell which events, (n,), are on the schedule as it stood at an instant."""
        return np.asarray(self.scheduled | (self.times <= instant))


@dataclass(frozen=True)
class Calendar:
    """Everything that the calendar tells, for all symbols of a run.

    Attributes
    ----------
    releases
        All but earnings.
    scored
        Those of them that have a value for a surprise channel.
    countdowns
        Times of the scheduled releases, (n,) datetime64[us], by kind.
    earnings
        By symbol.
    rows : (n,) datetime64[us]
        Times of all rows, tracked or not, sorted: they tell which span the calendar covers.
    """

    releases: Releases
    scored: Releases
    countdowns: Mapping[str, DatetimeArray]
    earnings: Mapping[str, Releases]
    rows: DatetimeArray

    def of(self, symbol: str) -> Releases:
        """Return the releases that concern a symbol: those of the economy and its own earnings."""
        own = self.earnings.get(symbol)
        return self.releases if own is None else _merged([self.releases, own])


def parse_calendar(
    calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Collection[str], config: EventConfig
) -> Calendar:
    """Sort the rows of a calendar into series and score their surprises.

    Parameters
    ----------
    calendar
        Rows of the table ``economic_calendar``, at least the columns of `CALENDAR_SCHEMA`.
    rates
        Rows of the table ``central_bank_rates`` (bank, decision_time, time_known, scheduled), or None.
    symbols
        Whose earnings are wanted.

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
    kept = calendar.lazy().filter(tracked & pl.col("event_time").is_not_null()).select(_PREPARED).collect()
    names, found = _found(kept, titles, config)
    if not names and not calendar.is_empty():
        raise EventError(
            f"none of the {len(calendar)} calendar rows has a configured currency and title such as "
            f"USD {config.releases['fomc'].titles[0]!r}; name yours in a copy of flows/events/events.toml"
        )
    if rates is not None and not rates.is_empty():
        found = _joined(found, _found_rates(names, rates, config))
    events = _one_per_release(found)
    economy, earnings = [], {}
    for name, number in names.items():
        start, end = events.series.searchsorted([number, number + 1])
        series = _releases(name, events.take(slice(start, end)))
        if name.startswith(_EARNINGS):
            earnings[name.removeprefix(_EARNINGS)] = series
        else:
            economy.append(series)
    releases = _merged([_releases(_RATE, _nothing()), *economy])
    scheduled = releases.take(releases.scheduled)
    return Calendar(
        releases,
        releases.take(np.isfinite(releases.score)),
        {kind: scheduled.times[scheduled.kind == KINDS.index(kind)] for kind in FAMILIES},
        earnings,
        np.sort(_instants(calendar["event_time"].drop_nulls()), kind="stable"),  # quick: as good as sorted
    )


@dataclass(frozen=True)
class _Rows:
    """Rows of the calendar, each with the number of its series; a row of two series is there twice."""

    series: NDArray[np.int64]  # (n,)
    times: DatetimeArray  # (n,)
    timed: BoolArray  # (n,)
    scheduled: BoolArray  # (n,)
    carries: BoolArray  # (n,) its actual and forecast are the series' figures
    figures: Floats  # (n, 4): actual, forecast, previous, hawkish_score

    def take(self, index: NDArray[np.int64] | slice) -> "_Rows":
        return _Rows(
            self.series[index],
            self.times[index],
            self.timed[index],
            self.scheduled[index],
            self.carries[index],
            self.figures[index],
        )


def _nothing() -> _Rows:
    flags = np.zeros(0, dtype=np.bool_)
    times = np.zeros(0, dtype="datetime64[us]")
    return _Rows(np.zeros(0, dtype=np.int64), times, flags, flags, flags, np.zeros((0, len(_FIGURES))))


def _joined(*parts: _Rows) -> _Rows:
    return _Rows(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(_Rows)))


def _titles(config: EventConfig) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """Return for each currency and title the series it belongs to, and whether it carries their figures."""
    titles: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for family, found in config.releases.items():
        for title in dict.fromkeys((*found.titles, *found.surprise)):
            titles.setdefault((found.currency, title), []).append((family, title in found.surprise))
    for currency, names in config.rate_decisions.items():
        for title in names:
            titles.setdefault((currency, title), []).append((_RATE + currency, False))
    return titles


def _found(
    kept: pl.DataFrame, titles: Mapping[tuple[str, str], list[tuple[str, bool]]], config: EventConfig
) -> tuple[dict[str, int], _Rows]:
    """Return the number of each series by name, and the rows under those numbers."""
    columns = (kept[name].to_list() for name in ("currency", "title", "event_type", "symbol"))
    names: dict[str, int] = {}
    found = []
    for row, (currency, title, event_type, symbol) in enumerate(zip(*columns, strict=True)):
        earnings = event_type == "earnings" and symbol is not None
        for name, carries in [(_EARNINGS + symbol, False)] if earnings else titles.get((currency, title), ()):
            found.append((row, names.setdefault(name, len(names)), carries))
    rows, series, carries_figures = np.array(found, dtype=np.int64).reshape(-1, 3).T
    times, timed, scheduled = _schedule(kept, "event_time", config)
    return names, _Rows(
        series,
        times[rows],
        timed[rows],
        scheduled[rows],
        carries_figures.astype(np.bool_),
        kept.select(_FIGURES).to_numpy()[rows],
    )


def _found_rates(names: dict[str, int], rates: pl.DataFrame, config: EventConfig) -> _Rows:
    """Return the decisions of ``central_bank_rates``, whose banks get numbers in `names`."""
    flags = [pl.col(name).cast(pl.Boolean).fill_null(True) for name in ("time_known", "scheduled")]
    kept = rates.select("bank", pl.col("decision_time").cast(pl.Datetime("us", "UTC")), *flags)
    kept = kept.drop_nulls("decision_time")
    return _Rows(
        np.array([names.setdefault(_RATE + str(bank), len(names)) for bank in kept["bank"]], dtype=np.int64),
        *_schedule(kept, "decision_time", config),
        np.zeros(len(kept), dtype=np.bool_),
        np.full((len(kept), len(_FIGURES)), np.nan),
    )


def _schedule(
    rows: pl.DataFrame, time_column: str, config: EventConfig
) -> tuple[DatetimeArray, BoolArray, BoolArray]:
    """Return times, whether they are known to the minute, and whether they were known ahead."""
    timed = rows["time_known"].to_numpy()
    times = _instants(rows[time_column])
    dates = times.astype("datetime64[D]").astype("datetime64[us]")
    expected = rows["scheduled"].to_numpy() & ~np.isin(times, config.unscheduled)
    return np.where(timed, times, dates), timed, expected


def _one_per_release(rows: _Rows) -> _Rows:
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
    usable[:, : _FIGURES.index("hawkish_score")] &= rows.carries[:, None]
    nth = np.where(usable, np.arange(len(days))[:, None], len(days))
    first = np.minimum.reduceat(nth, starts, axis=0)  # (events, 4): the row that each figure is taken from
    padded = np.concatenate([rows.figures, np.full((1, len(_FIGURES)), np.nan)])
    merged = replace(rows.take(starts), figures=np.take_along_axis(padded, first, axis=0))
    return merged.take(np.lexsort((merged.times, merged.series)))


def _releases(series: str, rows: _Rows) -> Releases:
    public_at = np.where(rows.timed, rows.times, rows.times + _DAY)
    score, way = np.full((2, len(public_at)), np.nan)
    if np.isfinite(rows.figures).any():
        order = np.argsort(public_at, kind="stable")
        actual, forecast, previous, override = rows.figures[order].T
        if series == "fomc":
            score[order] = hawkish_score(actual, forecast, previous, override)
            way[order] = np.sign(score[order])
        else:
            score[order] = surprise_z(actual, forecast) if series in _SCORED else np.nan
            way[order] = direction(actual, forecast)
    kind = np.full(len(public_at), KINDS.index(series.split(" ")[0]), dtype=np.int64)
    return Releases(kind, rows.times, rows.timed, rows.scheduled, public_at, score, way)


def _merged(parts: Sequence[Releases]) -> Releases:
    columns = [np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Releases)]
    merged = Releases(*columns)
    return merged.take(np.argsort(merged.times, kind="stable"))


def _instants(column: pl.Series) -> DatetimeArray:
    return column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")
