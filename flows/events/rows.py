"""Rows of the calendar, sorted into series with one row per release; the rules:

- A row belongs to a series by currency and title (``events.toml``); earnings by event_type and symbol.
- Where only the date is known the event stands at 00:00 UTC of that date, which puts it on the candle of the
  date (on the first one for 1h); its figures count as public when the date is over, since nobody can say when
  they were. `flows.events.dates` says which rows are dates though they claim a time.
- What several rows say of one release is brought together by `flows.events.merging`.
- A decision is unscheduled if the column says so or the configuration lists its time.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import polars as pl

from flows.events.config import FAMILIES, RATE, EventConfig, EventError, Place
from flows.events.dates import DatedRows, Origin, as_dates, at_midnight
from flows.events.titles import closest_titles, currency_of, normal_title
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

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
OPTIONAL: Final = ("country", "source", "withdrawn_at")  # columns that a calendar may lack
EARNINGS: Final = "earnings "  # with the symbol
FIGURES: Final = ("actual", "forecast", "previous", "hawkish_score")
NEVER: Final = np.datetime64("9999-12-31", "us")


@dataclass(frozen=True)
class Rows:
    """Rows of the calendar, each with the number of its series; a row of two series is there twice."""

    series: Int64Array  # (n,)
    rank: Int64Array  # (n,) of its title within the series
    times: DatetimeArray  # (n,)
    timed: BoolArray  # (n,)
    scheduled: BoolArray  # (n,)
    carries: BoolArray  # (n,) its actual and forecast are the series' figures
    figures: Float64Array  # (n, 4): actual, forecast, previous, hawkish_score
    withdrawn_at: DatetimeArray  # (n,) `NEVER` where it stands

    def take(self, index: Int64Array | BoolArray) -> "Rows":
        """Return the rows at some positions."""
        return Rows(*(getattr(self, each.name)[index] for each in fields(self)))


@dataclass(frozen=True)
class FoundRows:
    """What `read_rows` finds.

    Attributes
    ----------
    names
        Number of each series by name.
    rows
        Of all series, in no order.
    dated
        What was read as a date though it claims a time.
    """

    names: dict[str, int]
    rows: Rows
    dated: list[DatedRows]


def read_rows(
    calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Collection[str], config: EventConfig
) -> FoundRows:
    """Return the rows that belong to a series, under the number of that series.

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
    found, dated = _found(calendar, names, symbols, config)
    if not calendar.is_empty() and not (found.series < len(config.series)).any():
        raise EventError(
            f"none of the {len(calendar)} calendar rows has a configured currency and title such as "
            f"USD {config.releases['fomc'].titles[0]!r}{_alike(calendar, config)}; "
            "name yours in a copy of flows/events/events.toml"
        )
    if rates is not None and not rates.is_empty():
        found = _joined(found, _found_rates(names, rates, config))
    return FoundRows(names, found, dated)


def untracked_titles(
    calendar: pl.DataFrame,
    currency: str,
    config: EventConfig,
    start: np.datetime64 | None = None,
    end: np.datetime64 | None = None,
) -> list[str]:
    """Return the titles of a currency, or of none, between two instants that the configuration lacks."""
    columns = [name for name in ("title", "currency", "country", "source") if name in calendar.columns]
    moment = pl.col("event_time").cast(pl.Datetime("us"))
    bounds = (None if each is None else pl.lit(each.item(), dtype=pl.Datetime("us")) for each in (start, end))
    since, until = bounds
    inside = [] if since is None else [moment >= since]
    inside += [] if until is None else [moment <= until]
    found = calendar.lazy().filter(*inside) if inside else calendar.lazy()
    titles: set[str] = set()
    for row in found.select(pl.col(columns).cast(pl.String)).unique().collect().iter_rows(named=True):
        title = row.pop("title")
        belongs = currency_of(row["currency"], row.get("country"), row.get("source"))
        if title and belongs is None:
            titles.add(f"{title} (of no currency)")
        elif title and belongs == currency and (currency, normal_title(title)) not in config.places:
            titles.add(title)
    return sorted(titles)


def _alike(calendar: pl.DataFrame, config: EventConfig) -> str:
    """Say which titles of a calendar are most like those of the tracked releases."""
    found: dict[str, None] = {}
    for family in FAMILIES:
        titles = config.releases[family]
        wanted = [name for title in titles.titles for name in config.names_of(titles.currency, title)]
        present = untracked_titles(calendar, titles.currency, config)
        found |= dict.fromkeys(closest_titles(wanted, present)[:1])
    return f" (the closest titles are {', '.join(map(repr, found))})" if found else ""


def _joined(*parts: Rows) -> Rows:
    return Rows(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Rows)))


def _tracked(calendar: pl.DataFrame, config: EventConfig) -> dict[str, pl.Series]:
    """Return the columns of the schema, of the rows with configured titles and of all earnings.

    In operations on single columns: a query takes longer to start than these take.
    """
    column = calendar["title"].cast(pl.String)
    present = column.unique().to_list()
    tracked = [title for title in present if title is not None and normal_title(title) in config.titles]
    titles = column.cast(pl.Enum(tracked), strict=False)  # null for any other title
    kept = (titles == titles) | _are_earnings(calendar["event_type"])  # a row that gets a null is left out
    if calendar["event_time"].null_count():
        kept &= calendar["event_time"].is_not_null()
    names = [*CALENDAR_SCHEMA, *(name for name in OPTIONAL if name in calendar.columns)]
    return {name: calendar[name].filter(kept) for name in names}


def _are_earnings(event_type: pl.Series) -> pl.Series:
    return event_type.cast(pl.String) == "earnings"


def _found(
    calendar: pl.DataFrame, names: dict[str, int], symbols: Collection[str], config: EventConfig
) -> tuple[Rows, list[DatedRows]]:
    """Return the rows under the numbers of their series; each symbol's earnings get one in `names`."""
    kept = _tracked(calendar, config)
    origins = list(
        zip(
            *(
                _texts(kept[name]) if name in kept else [None] * len(kept["title"])
                for name in ("source", "currency", "country", "title", "symbol")
            ),
            _are_true(_are_earnings(kept["event_type"])).tolist(),
            strict=True,
        )
    )
    kinds: dict[Origin, int] = {}
    kind = np.array([kinds.setdefault(origin, len(kinds)) for origin in origins], dtype=np.int64)
    found = [_places(origin, names, symbols, config) for origin in kinds]
    number = np.array([len(places) for places in found], dtype=np.int64)
    begin = np.cumsum(number) - number
    of_row = number[kind]
    rows = np.repeat(np.arange(len(kind)), of_row)
    # Counts 0, 1, … within each row, from where the places of its kind begin.
    place = np.arange(len(rows)) - np.repeat(np.cumsum(of_row) - of_row - begin[kind], of_row)
    every = [each for places in found for each in places]
    series, rank, carries = (
        np.array([getattr(each, name) for each in every], dtype=dtype)[place]
        for name, dtype in (("series", np.int64), ("rank", np.int64), ("carries", np.bool_))
    )
    times, timed, scheduled = _schedule(kept, "event_time", config)
    dated: list[DatedRows] = []
    if (timed & at_midnight(times)).any():
        in_family = np.zeros(len(kind), dtype=np.bool_)
        in_family[rows[series < len(FAMILIES)]] = True  # the first series of a configuration
        times, timed, dated = as_dates(list(kinds), kind, times, timed, in_family)
    return Rows(
        series,
        rank,
        times[rows],
        timed[rows],
        scheduled[rows],
        carries,
        np.column_stack([_numbers(kept[name]) for name in FIGURES])[rows],
        _withdrawn(kept, len(kind))[rows],
    ), dated


def _places(
    origin: Origin, names: dict[str, int], symbols: Collection[str], config: EventConfig
) -> list[Place]:
    """Return where rows of one origin belong; each symbol's earnings get a number in `names`."""
    source, currency, country, title, symbol, earnings = origin
    if earnings and symbol in symbols:
        return [Place(names.setdefault(f"{EARNINGS}{symbol}", len(names)), 0, carries=False)]
    if earnings and symbol is not None:
        return []
    return config.places.get((currency_of(currency, country, source) or "", normal_title(title or "")), [])


def _found_rates(names: dict[str, int], rates: pl.DataFrame, config: EventConfig) -> Rows:
    """Return the decisions of ``central_bank_rates``, whose banks get numbers in `names`."""
    kept = rates.drop_nulls("decision_time")
    count = len(kept)
    banks = kept["bank"].cast(pl.String).to_list()
    sources = _texts(kept["source"]) if "source" in kept.columns else [None] * count
    times, timed, scheduled = _schedule(kept.to_dict(), "decision_time", config)
    origins: dict[Origin, int] = {}
    origin = [
        origins.setdefault((source, None, None, bank, None, False), len(origins))
        for source, bank in zip(sources, banks, strict=True)
    ]
    nobody = np.zeros(count, dtype=np.bool_)
    times, timed, _ = as_dates(list(origins), np.array(origin, dtype=np.int64), times, timed, nobody)
    return Rows(
        np.array([names.setdefault(f"{RATE}{bank}", len(names)) for bank in banks], dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        times,
        timed,
        scheduled,
        np.zeros(count, dtype=np.bool_),
        np.full((count, len(FIGURES)), np.nan),
        np.full(count, NEVER),
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


def _withdrawn(rows: Mapping[str, pl.Series], count: int) -> DatetimeArray:
    """Return when each row was withdrawn, (n,), `NEVER` where it stands."""
    column = rows.get("withdrawn_at")
    if column is None or column.null_count() == count:
        return np.full(count, NEVER)
    moments = instants(column)
    return np.where(np.isnat(moments), NEVER, moments)


def instants(column: pl.Series) -> DatetimeArray:
    """Return a column of instants as datetime64[us] UTC, (n,)."""
    return column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")


def _texts(column: pl.Series) -> list[str | None]:
    return (column if column.dtype == pl.String else column.cast(pl.String)).to_list()


def _numbers(column: pl.Series) -> Float64Array:
    """Return figures, (n,) float64, NaN where they are null."""
    return column.cast(pl.Float64).to_numpy()


def _flags(column: pl.Series) -> BoolArray:
    """Return truths, (n,) bool, true where they are null."""
    # As a number null is NaN, which is not 0; fill_null would start a query for a handful of rows.
    return np.asarray(column.cast(pl.Boolean).cast(pl.Float64).to_numpy() != 0)


def _are_true(column: pl.Series) -> BoolArray:
    """Return truths, (n,) bool, false where they are null."""
    return np.asarray(column.cast(pl.Float64).to_numpy() == 1.0)
