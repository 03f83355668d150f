"""Finds time zones by name, and converts local times to UTC."""

from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from flows.files.errors import TableError


def zone_of(name: str | None) -> ZoneInfo:
    """Return the time zone with a name, UTC for None.

    Raises
    ------
    TableError
        The zone is unknown.
    """
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TableError(
            f"there is no time zone {name!r}; expected a name such as America/New_York or UTC"
        ) from None


@lru_cache(maxsize=256)
def is_zone(name: str) -> bool:
    """Return whether there is a time zone with a name that has a slash, such as ``US/Eastern``."""
    if "/" not in name:
        return False
    try:
        zone_of(name)
    except TableError:
        return False
    return True


def in_utc(local: pl.Series, zone: str, symbols: pl.Series, *, newest_first: bool) -> pl.Series:
    """Return local times of candles as instants.

    Where the clocks go back an hour occurs twice: of two candles of a symbol with the same local time the one
    nearer to the older end of the file is the earlier; a single one is taken for the later.

    Parameters
    ----------
    local
        Times without a zone, in the order of the file.
    zone
        Name of their zone.
    symbols
        Symbol of each.

    Raises
    ------
    TableError
        The zone is unknown, or its clocks never show a time, because they went forward then.
    """
    zone_of(zone)
    early, late = (
        local.dt.replace_time_zone(zone, ambiguous=which, non_existent="null").dt.convert_time_zone("UTC")
        for which in ("earliest", "latest")
    )
    skipped = local.filter(early.is_null() & local.is_not_null())
    if skipped.len():
        raise TableError(
            f"the clocks of {zone} never showed {skipped[0]:%Y-%m-%d %H:%M}, because they went forward then: "
            "the times are those of another zone, which --timezone can name"
        )
    if (early == late).all():
        return late
    rows = pl.DataFrame({"symbol": symbols, "local": local, "early": early, "late": late})
    place, count = pl.int_range(pl.len()).over("symbol", "local"), pl.len().over("symbol", "local")
    first = (place == count - 1) if newest_first else (place == 0)
    return rows.select(pl.when(first & (count > 1)).then("early").otherwise("late")).to_series()


def in_named_zone(local: pl.Series, abbreviation: str, zone: str) -> pl.Series:
    """Return local times that name their zone by an abbreviation, such as EST, as instants.

    Parameters
    ----------
    zone
        Name of the zone that the abbreviation is one of.

    Raises
    ------
    TableError
        The zone is unknown, or has another abbreviation at one of the times.
    """
    zone_of(zone)
    readings = [
        local.dt.replace_time_zone(zone, ambiguous=which, non_existent="null")
        for which in ("earliest", "latest")
    ]
    fitting = [
        pl.select(pl.when(reading.dt.strftime("%Z") == abbreviation).then(reading)).to_series()
        for reading in readings
    ]
    instants = pl.select(pl.coalesce(*fitting)).to_series().dt.convert_time_zone("UTC")
    misfits = local.filter(instants.is_null() & local.is_not_null())
    if misfits.len():
        raise TableError(
            f"{misfits[0]:%Y-%m-%d %H:%M} {abbreviation} is no time of {zone}, whose clocks had another "
            "abbreviation then: give the zone that the times are in as --timezone"
        )
    return instants
