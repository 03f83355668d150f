"""Which tracked families and surprises a calendar lacks where an event array needs them."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from flows.events.config import FAMILIES, RATE, EventConfig
from flows.events.merging import Merged
from flows.events.rows import instants, untracked_titles
from flows.events.surprises import FEWEST_RELEASES
from flows.events.titles import closest_titles
from market.types import BoolArray, DatetimeArray
from market.warning_codes import WarningCode, warning

LONGEST_GAP: Final = {  # between two releases of a family, with some days to spare
    family: np.timedelta64(days, "D").astype("timedelta64[us]")
    for family, days in {"fomc": 60, "cpi": 45, "nfp": 45, "gdp": 45, "pce": 45}.items()
}
_BETWEEN_DECISIONS: Final = np.timedelta64(100, "D").astype("timedelta64[us]")  # Switzerland has four a year
_SCORED: Final = ("cpi", "nfp")  # families with a z-score among the channels
_HINT: Final = "name yours in a copy of flows/events/events.toml (KRONOS_EVENTS_CONFIG)"


def missing_data(
    frame: pl.DataFrame,
    merged: Merged,
    known: BoolArray,
    span: tuple[np.datetime64, np.datetime64, np.datetime64],
    config: EventConfig,
) -> Iterator[str]:
    """Yield a warning for each family, and each surprise, that the calendar has no data for.

    Parameters
    ----------
    frame, merged
        Rows of ``economic_calendar``, and their releases.
    known : (n,)
        Which releases are on the schedule as the run sees it.
    span
        First instant, point in time, and last instant of the windows, the last no later than the calendar's.
    """
    first, now, last = span
    rows = merged.rows
    for number, family in enumerate(FAMILIES):
        longest = LONGEST_GAP[family]
        start = min(first, now - longest)
        begin, end = rows.series.searchsorted([number, number + 1])
        mine = np.flatnonzero(known[begin:end]) + begin
        gap = _gap(rows.times[mine], start, max(last, now), longest)
        if gap is not None:
            titles = _closest(frame, family, config, *gap)
            yield warning(WarningCode.MISSING_RELEASES, _no_releases(family, config, gap, titles))
        public = mine[(merged.public_at[mine] >= start) & (merged.public_at[mine] < now)]
        if public.size:
            lack = _lack_of_figures(merged, mine[merged.public_at[mine] < now], public, family)
            if lack is not None:
                titles = _closest(frame, family, config, start, now)
                yield warning(WarningCode.MISSING_SURPRISES, f"{lack}{_named(titles)}")


def missing_decisions(
    frame: pl.DataFrame,
    merged: Merged,
    known: BoolArray,
    now: np.datetime64,
    last: np.datetime64,
    config: EventConfig,
) -> Iterator[str]:
    """Yield a warning for the tracked central banks, but the Federal Reserve, that have no decisions."""
    rows = merged.rows
    since, until = now - _BETWEEN_DECISIONS, max(last, now)
    near = known & (rows.times >= since) & (rows.times <= until)
    there = {*rows.series[near].tolist(), config.series[RATE + config.releases["fomc"].currency]}
    missing = [each for each in config.rate_decisions if config.series[RATE + each] not in there]
    if not missing:
        return
    titles: list[str] = []
    times = instants(frame["event_time"])
    recent = pl.Series((times >= since) & (times <= until))
    for currency in missing:
        wanted = [
            name for title in config.rate_decisions[currency] for name in config.names_of(currency, title)
        ]
        # In operations on single columns: a query takes longer to start than these take.
        mine = recent & (frame["currency"].cast(pl.String) == currency)
        present = dict.fromkeys(frame["title"].cast(pl.String).filter(mine).drop_nulls().to_list())
        titles += [f"{currency} {title}" for title in closest_titles(wanted, list(present))[:2]]
    yield warning(
        WarningCode.MISSING_RELEASES,
        f"the calendar has no decision of the central banks of {', '.join(missing)} since "
        f"{since.astype('datetime64[D]')}: is_rate_decision lacks them{_named(titles)}",
    )


def _gap(
    times: DatetimeArray, start: np.datetime64, end: np.datetime64, longest: np.timedelta64
) -> tuple[np.datetime64 | None, np.datetime64 | None] | None:
    """Return the releases around the longest time without one between two instants, if it is too long."""
    inside = times[(times >= start) & (times <= end)]
    points = np.concatenate([[start], inside, [end]]).astype("datetime64[us]")
    gaps = np.diff(points)
    widest = int(np.argmax(gaps))
    if inside.size and gaps[widest] <= longest:
        return None
    place = int(times.searchsorted(points[widest] if widest else start)) + (widest > 0)
    before = times[place - 1] if place > 0 else None
    return before, (times[place] if place < len(times) else None)


def _lack_of_figures(merged: Merged, before: np.ndarray, public: np.ndarray, family: str) -> str | None:
    """Say why the releases `public` show no surprise, or None where one does."""
    actual, forecast, previous, override = merged.rows.figures[before].T
    both = np.isfinite(actual) & np.isfinite(forecast)
    if family == "fomc":  # a missing forecast counts as the rate before
        both = (np.isfinite(actual) & (np.isfinite(previous) | (np.arange(len(actual)) > 0))) | both
        both |= np.isfinite(override)
    reach = np.isin(before, public)
    if both[reach].any():
        if family in _SCORED and both.sum() <= FEWEST_RELEASES:
            return (
                f"only {both.sum()} releases of {family} so far have both actual and forecast, and a "
                f"surprise is measured by at least {FEWEST_RELEASES} before it: its channel is 0"
            )
        return None
    lacks = [
        name
        for name, figures in (("an actual", actual), ("a forecast", forecast))
        if not np.isfinite(figures[reach]).any()
    ]
    times = merged.rows.times[public].astype("datetime64[D]")
    return (
        f"none of the {len(public)} releases of {family} from {times[0]} to {times[-1]} has "
        f"{' or '.join(lacks) or 'both actual and forecast'}: nothing says what surprised"
    )


def _no_releases(
    family: str,
    config: EventConfig,
    gap: tuple[np.datetime64 | None, np.datetime64 | None],
    titles: Sequence[str],
) -> str:
    before, after = (None if each is None else str(each.astype("datetime64[D]")) for each in gap)
    if before is None and after is None:
        where = ""
    elif after is None:
        where = f" after {before}"
    else:
        where = f" before {after}" if before is None else f" between {before} and {after}"
    return (
        f"the calendar has no release of {family} ({config.releases[family].currency} "
        f"{config.releases[family].titles[0]!r} or the like){where}: its channels are 0 there{_named(titles)}"
    )


def _named(titles: Sequence[str]) -> str:
    if not titles:
        return ""
    return f"; the closest titles found are {', '.join(map(repr, titles))}: {_HINT}"


def _closest(
    frame: pl.DataFrame,
    family: str,
    config: EventConfig,
    start: np.datetime64 | None,
    end: np.datetime64 | None,
) -> list[str]:
    """Return the titles between two instants that are most like the family's."""
    titles = config.releases[family]
    wanted = [name for title in titles.titles for name in config.names_of(titles.currency, title)]
    present = untracked_titles(frame, titles.currency, config, start, end)
    return closest_titles([*wanted, *titles.dates], present)
