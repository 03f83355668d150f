"""Warns of releases, surprises and decisions that a calendar lacks where event arrays need them."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from flows.events.arrays import column_instants
from flows.events.config import FAMILIES, RATE, EventConfig
from flows.events.merging import Merged
from flows.events.releases import SCORED
from flows.events.surprises import FEWEST_RELEASES
from flows.events.title_hints import closest_to_family
from flows.events.titles import closest_titles
from flows.events.window import Reach
from market.types import BoolArray, DatetimeArray, Int64Array
from market.warning_codes import WarningCode, warning

LONGEST_GAP: Final = {  # between two releases of a family, with some days to spare
    family: np.timedelta64(days, "D").astype("timedelta64[us]")
    for family, days in {"fomc": 60, "cpi": 45, "nfp": 45, "gdp": 45, "pce": 45}.items()
}
_BETWEEN_DECISIONS: Final = np.timedelta64(100, "D").astype("timedelta64[us]")  # Switzerland has four a year
_HINT: Final = "name yours in a copy of flows/events/events.toml (KRONOS_EVENTS_CONFIG)"


def missing_data(
    frame: pl.DataFrame, merged: Merged, known: BoolArray, reach: Reach, config: EventConfig
) -> Iterator[str]:
    """Yield a warning for each family that lacks releases, and for each that lacks surprises.

    Parameters
    ----------
    frame, merged
        Rows of ``economic_calendar``, and their releases.
    known : (n,)
        Which releases are valid and known at the point in time of the run.
    reach
        Of the windows of the run, its end no later than the calendar's.
    config
        Titles of the families.
    """
    first, now, last = reach
    rows, public_at = merged.rows, merged.public_at
    for number, family in enumerate(FAMILIES):
        longest = LONGEST_GAP[family]
        start = min(first, now - longest)
        begin, end = rows.series.searchsorted([number, number + 1])
        releases = np.flatnonzero(known[begin:end]) + begin
        gap = _gap(rows.times[releases], start, max(last, now), longest)
        if gap is not None:
            titles = closest_to_family(frame, family, config, *gap)
            yield warning(WarningCode.MISSING_RELEASES, _no_releases(family, config, gap, titles))
        published = releases[public_at[releases] < now]
        recent = published[public_at[published] >= start]
        if recent.size:
            reason = _no_surprise(merged, published, recent, family)
            if reason is not None:
                titles = closest_to_family(frame, family, config, start, now)
                yield warning(WarningCode.MISSING_SURPRISES, f"{reason}{_named(titles)}")


def missing_decisions(
    frame: pl.DataFrame, merged: Merged, known: BoolArray, reach: Reach, config: EventConfig
) -> Iterator[str]:
    """Yield a warning if tracked central banks other than the Federal Reserve have no decisions.

    Parameters
    ----------
    frame, merged, known, reach, config
        As `missing_data` takes them.
    """
    rows = merged.rows
    since, until = reach.now - _BETWEEN_DECISIONS, max(reach.last, reach.now)
    near = known & (rows.times >= since) & (rows.times <= until)
    present = {*rows.series[near].tolist(), config.series[RATE + config.releases["fomc"].currency]}
    missing = [
        currency for currency in config.rate_decisions if config.series[RATE + currency] not in present
    ]
    if not missing:
        return
    titles: list[str] = []
    times = column_instants(frame["event_time"])
    recent = pl.Series((times >= since) & (times <= until))
    for currency in missing:
        wanted = [
            name for title in config.rate_decisions[currency] for name in config.names_of(currency, title)
        ]
        # In operations on single columns: starting a query takes longer than these.
        of_currency = recent & (frame["currency"].cast(pl.String) == currency)
        listed = dict.fromkeys(frame["title"].cast(pl.String).filter(of_currency).drop_nulls().to_list())
        titles += [f"{currency} {title}" for title in closest_titles(wanted, list(listed))[:2]]
    yield warning(
        WarningCode.MISSING_RELEASES,
        f"the calendar has no decision of the central banks of {', '.join(missing)} since "
        f"{since.astype('datetime64[D]')}: is_rate_decision lacks them{_named(titles)}",
    )


def _gap(
    times: DatetimeArray, start: np.datetime64, end: np.datetime64, longest: np.timedelta64
) -> tuple[np.datetime64 | None, np.datetime64 | None] | None:
    """Return the releases before and after the widest gap between two instants.

    None for a release that doesn't exist; None instead of both if the gap is not longer than `longest`.
    """
    inside = times[(times >= start) & (times <= end)]
    points = np.concatenate([[start], inside, [end]]).astype("datetime64[us]")
    gaps = np.diff(points)
    widest = int(np.argmax(gaps))
    if inside.size and gaps[widest] <= longest:
        return None
    position = int(times.searchsorted(points[widest] if widest else start)) + (widest > 0)
    before = times[position - 1] if position > 0 else None
    return before, (times[position] if position < len(times) else None)


def _no_surprise(merged: Merged, published: Int64Array, recent: Int64Array, family: str) -> str | None:
    """Return why none of the releases `recent` has a surprise, or None if one has.

    Parameters
    ----------
    merged
        All releases.
    published, recent
        Positions of those of the family whose figures are public, and of the latest of them.
    """
    actual, forecast, previous, override = merged.rows.figures[published].T
    has_surprise = np.isfinite(actual) & np.isfinite(forecast)
    if family == "fomc":  # a missing forecast counts as the rate before
        has_rate_before = np.isfinite(previous) | (np.arange(len(actual)) > 0)
        has_surprise |= (np.isfinite(actual) & has_rate_before) | np.isfinite(override)
    is_recent = np.isin(published, recent)
    if has_surprise[is_recent].any():
        if family in SCORED and has_surprise.sum() <= FEWEST_RELEASES:
            return (
                f"only {has_surprise.sum()} releases of {family} so far have both actual and forecast, and a "
                f"surprise is measured by at least {FEWEST_RELEASES} before it: its channel is 0"
            )
        return None
    lacking = [
        name
        for name, figures in (("an actual", actual), ("a forecast", forecast))
        if not np.isfinite(figures[is_recent]).any()
    ]
    days = merged.rows.times[recent].astype("datetime64[D]")
    return (
        f"none of the {len(recent)} releases of {family} from {days[0]} to {days[-1]} has "
        f"{' or '.join(lacking) or 'both actual and forecast'}: their surprises are unknown"
    )


def _no_releases(
    family: str,
    config: EventConfig,
    gap: tuple[np.datetime64 | None, np.datetime64 | None],
    titles: Sequence[str],
) -> str:
    before, after = (None if release is None else str(release.astype("datetime64[D]")) for release in gap)
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
