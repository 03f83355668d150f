"""Reads the rows of the calendar tables that belong to a series.

- A row belongs to a series by its currency and title (``events.toml``); earnings by event_type and symbol.
- If only the date is known, the release is at 00:00 UTC of that date, and so on the candle of the date (1d)
  or its first candle (shorter ones). Its figures count as public from the end of the date, because the time
  of publication is unknown. `flows.events.dates` finds the rows that are dates although `time_known` is true.
- A decision is unscheduled if the column `scheduled` or the configuration says so.

`flows.events.merging` merges the rows of one release.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import polars as pl

from flows.events.arrays import column_instants, numbers, texts, true, true_or_null
from flows.events.config import EARNINGS, FAMILIES, RATE, EventConfig, EventError, Membership
from flows.events.dates import DatedRows, Origin, as_dates, midnight_of
from flows.events.title_hints import closest_to_family
from flows.events.titles import currency_of, normal_title
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

REQUIRED: Final = (
    "event_time",
    "time_known",
    "scheduled",
    "currency",
    "symbol",
    "event_type",
    "title",
    "actual",
    "forecast",
    "previous",
    "hawkish_score",
)
"""Columns that a frame of ``economic_calendar`` must have."""

OPTIONAL: Final = ("country", "source", "withdrawn_at")
FIGURES: Final = ("actual", "forecast", "previous", "hawkish_score")
NEVER: Final = np.datetime64("9999-12-31", "us")


@dataclass(frozen=True)
class Rows:
    """Rows of the calendar, n of them; a row that belongs to two series is there twice.

    Attributes
    ----------
    series : (n,) int64
        Number of the series.
    rank : (n,) int64
        Of the row's title within the series, see `Membership`.
    times : (n,) datetime64[us]
        Of the release, UTC; 00:00 where only the date is known.
    timed : (n,) bool
        False where only the date is known.
    scheduled : (n,) bool
        Whether the release was announced ahead.
    gives_figures : (n,) bool
        Whether actual and forecast of the row are the series' figures.
    figures : (n, 4) float64
        Columns as `FIGURES`; NaN where null.
    withdrawn_at : (n,) datetime64[us]
        When the row was withdrawn; `NEVER` if it was not.
    """

    series: Int64Array
    rank: Int64Array
    times: DatetimeArray
    timed: BoolArray
    scheduled: BoolArray
    gives_figures: BoolArray
    figures: Float64Array
    withdrawn_at: DatetimeArray

    def take(self, index: Int64Array | BoolArray) -> "Rows":
        """Return the rows at some positions."""
        return Rows(*(getattr(self, column.name)[index] for column in fields(self)))


@dataclass(frozen=True)
class SeriesRows:
    """The rows that belong to a series.

    Attributes
    ----------
    names
        Number of each series, by name.
    rows
        Of all series, in the order of the tables.
    dated
        How many rows of each source were read as dates although `time_known` is true.
    """

    names: dict[str, int]
    rows: Rows
    dated: list[DatedRows]


def read_rows(
    calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Collection[str], config: EventConfig
) -> SeriesRows:
    """Return the rows that belong to a series of the configuration, of a bank in `rates` or of earnings.

    Parameters
    ----------
    calendar, rates, symbols, config
        See `flows.events.releases.parse_calendar`.

    Raises
    ------
    EventError
        A column is missing, or no row has a configured title.
    """
    missing = sorted(set(REQUIRED) - set(calendar.columns))
    if missing:
        raise EventError(f"the calendar lacks the columns {', '.join(missing)}; select them in the query")
    names = dict(config.series)
    rows, dated = _calendar_rows(calendar, names, symbols, config)
    if not calendar.is_empty() and not (rows.series < len(config.series)).any():
        raise EventError(
            f"none of the {len(calendar)} calendar rows has a configured currency and title such as "
            f"USD {config.releases['fomc'].titles[0]!r}{_hint(calendar, config)}; "
            "name yours in a copy of flows/events/events.toml"
        )
    if rates is not None and not rates.is_empty():
        rows = _concatenated(rows, _rate_rows(rates, names, config))
    return SeriesRows(names, rows, dated)


def _hint(calendar: pl.DataFrame, config: EventConfig) -> str:
    """Return words on the titles of a calendar that are most similar to those of the families."""
    closest: dict[str, None] = {}
    for family in FAMILIES:
        closest |= dict.fromkeys(closest_to_family(calendar, family, config, with_dates=False)[:1])
    return f" (the closest titles are {', '.join(map(repr, closest))})" if closest else ""


def _concatenated(*parts: Rows) -> Rows:
    return Rows(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Rows)))


def _calendar_rows(
    calendar: pl.DataFrame, names: dict[str, int], symbols: Collection[str], config: EventConfig
) -> tuple[Rows, list[DatedRows]]:
    """Return the rows of ``economic_calendar``; the earnings of each symbol get a number in `names`."""
    columns = _tracked_columns(calendar, config)
    origins, origin = _origins(columns)
    memberships = [_memberships(each, names, symbols, config) for each in origins]
    series, rank, gives_figures, row = _by_series(memberships, origin)
    times, timed, scheduled = _schedule(columns, "event_time", config)
    in_family = np.zeros(len(times), dtype=np.bool_)
    in_family[row[series < len(FAMILIES)]] = True
    times, timed, dated = as_dates(origins, origin, times, timed, in_family)
    rows = Rows(
        series=series,
        rank=rank,
        times=times[row],
        timed=timed[row],
        scheduled=scheduled[row],
        gives_figures=gives_figures,
        figures=np.column_stack([numbers(columns[name]) for name in FIGURES])[row],
        withdrawn_at=_withdrawn_at(columns)[row],
    )
    return rows, dated


def _tracked_columns(calendar: pl.DataFrame, config: EventConfig) -> dict[str, pl.Series]:
    """Return the columns of the rows with configured titles and of all earnings, by name."""
    titles = calendar["title"].cast(pl.String)
    tracked = [
        title
        for title in titles.unique().to_list()
        if title is not None and normal_title(title) in config.titles
    ]
    is_tracked = titles.cast(pl.Enum(tracked), strict=False).is_not_null()
    kept = is_tracked | _are_earnings(calendar["event_type"])
    if calendar["event_time"].null_count():
        kept &= calendar["event_time"].is_not_null()
    names = [*REQUIRED, *(name for name in OPTIONAL if name in calendar.columns)]
    return {name: calendar[name].filter(kept) for name in names}


def _are_earnings(event_type: pl.Series) -> pl.Series:
    return event_type.cast(pl.String) == "earnings"


def _origins(columns: Mapping[str, pl.Series]) -> tuple[list[Origin], Int64Array]:
    """Return the distinct origins of the rows, and for each row, (n,), the position of its origin."""
    count = len(columns["title"])
    values = (
        texts(columns[name]) if name in columns else [None] * count
        for name in ("source", "currency", "country", "title", "symbol")
    )
    return _distinct(zip(*values, true(_are_earnings(columns["event_type"])).tolist(), strict=True))


def _distinct(origins: Iterable[tuple[Any, ...]]) -> tuple[list[Origin], Int64Array]:
    """Return each origin once, and for each of `origins`, (n,), the position of its equal."""
    positions: dict[tuple[Any, ...], int] = {}
    position = [positions.setdefault(origin, len(positions)) for origin in origins]
    return [Origin(*origin) for origin in positions], np.array(position, dtype=np.int64)


def _memberships(
    origin: Origin, names: dict[str, int], symbols: Collection[str], config: EventConfig
) -> list[Membership]:
    """Return the series of the rows of one origin; each symbol's earnings get a number in `names`."""
    if origin.is_earnings and origin.symbol in symbols:
        number = names.setdefault(f"{EARNINGS}{origin.symbol}", len(names))
        return [Membership(number, 0, gives_figures=False)]
    if origin.is_earnings and origin.symbol is not None:
        return []
    currency = currency_of(origin.currency, origin.country, origin.source)
    return config.memberships.get((currency or "", normal_title(origin.title or "")), [])


def _by_series(
    memberships: Sequence[Sequence[Membership]], origin: Int64Array
) -> tuple[Int64Array, Int64Array, BoolArray, Int64Array]:
    """Repeat each row once for each series that it belongs to.

    Parameters
    ----------
    memberships
        Of the rows of each origin.
    origin : (n,)
        Of each row, the position in `memberships`.

    Returns
    -------
    series, rank, gives_figures : (m,)
        Of each row and series, ordered by row.
    row : (m,)
        The position of the row among the n.
    """
    flat = [membership for of_origin in memberships for membership in of_origin]
    # (origins, most series of one origin): positions in `flat`, −1 where an origin belongs to fewer series.
    table = np.full((len(memberships), max(map(len, memberships), default=0)), -1)
    position = 0
    for number, of_origin in enumerate(memberships):
        table[number, : len(of_origin)] = range(position, position + len(of_origin))
        position += len(of_origin)
    of_row = table[origin]
    row, nth = np.nonzero(of_row >= 0)
    member = of_row[row, nth]
    series = np.array([membership.series for membership in flat], dtype=np.int64)
    rank = np.array([membership.rank for membership in flat], dtype=np.int64)
    gives_figures = np.array([membership.gives_figures for membership in flat], dtype=np.bool_)
    return series[member], rank[member], gives_figures[member], row


def _rate_rows(rates: pl.DataFrame, names: dict[str, int], config: EventConfig) -> Rows:
    """Return the rows of ``central_bank_rates``; each bank gets a number in `names`."""
    columns = rates.drop_nulls("decision_time").to_dict()
    banks = texts(columns["bank"])
    count = len(banks)
    sources = texts(columns["source"]) if "source" in columns else [None] * count
    origins, origin = _distinct(
        (source, None, None, bank, None, False) for source, bank in zip(sources, banks, strict=True)
    )
    times, timed, scheduled = _schedule(columns, "decision_time", config)
    times, timed, _ = as_dates(origins, origin, times, timed, in_family=np.zeros(count, dtype=np.bool_))
    return Rows(
        series=np.array([names.setdefault(f"{RATE}{bank}", len(names)) for bank in banks], dtype=np.int64),
        rank=np.zeros(count, dtype=np.int64),
        times=times,
        timed=timed,
        scheduled=scheduled,
        gives_figures=np.zeros(count, dtype=np.bool_),
        figures=np.full((count, len(FIGURES)), np.nan),
        withdrawn_at=np.full(count, NEVER),
    )


def _schedule(
    columns: Mapping[str, pl.Series], time_column: str, config: EventConfig
) -> tuple[DatetimeArray, BoolArray, BoolArray]:
    """Return times, whether each is more than a date, and whether it was announced ahead; (n,) each."""
    timed = true_or_null(columns["time_known"])
    times = column_instants(columns[time_column])
    is_unscheduled = (times[:, None] == config.unscheduled).any(axis=1)
    scheduled = true_or_null(columns["scheduled"]) & ~is_unscheduled
    return np.where(timed, times, midnight_of(times)), timed, scheduled


def _withdrawn_at(columns: Mapping[str, pl.Series]) -> DatetimeArray:
    """Return when each row was withdrawn, (n,), `NEVER` if it was not."""
    column = columns.get("withdrawn_at")
    if column is None:
        return np.full(len(columns["title"]), NEVER)
    times = column_instants(column)
    return np.where(np.isnat(times), NEVER, times)
