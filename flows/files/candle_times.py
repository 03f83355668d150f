"""Turns the times of candles, as files write them, into instants in UTC."""

from datetime import timedelta

import polars as pl

from flows.files.errors import TableError
from flows.files.options import ReadOptions
from flows.files.zones import in_named_zone, in_utc
from market.timeframes import CANDLE_DURATION

_UTC = pl.Datetime("us", "UTC")
_FEWEST = 3  # other candles of a symbol that show at which times of day it has some


def candle_instants(
    written: pl.DataFrame, symbols: pl.Series, timeframe: str, options: ReadOptions, *, newest_first: bool
) -> tuple[pl.Series, str]:
    """Return the opens of candles, and a sentence about their zone.

    Daily candles that are all written as midnight, or without a time of day, are dates: no zone moves them.
    Times in the form of ISO 8601 without a zone are UTC unless the options name another; of times in another
    form the zone must be given.

    Parameters
    ----------
    written
        As `flows.files.written_times.written_times` returns it.
    symbols
        Symbol of each.

    Returns
    -------
    times, zone
        `times` is Datetime[us] in UTC, NULL where `written` has no time.

    Raises
    ------
    TableError
        The zone has to be given, is unknown, or can't be that of the times.
    """
    local = written["local"]
    if is_dated(timeframe) and (local.dt.truncate("1d") == local).all():
        return local.dt.replace_time_zone("UTC"), "dates of sessions; no zone is applied"
    naive = written["utc"].is_null() & written["zone"].is_null() & local.is_not_null()
    instants, words = written["utc"], "written in the file"
    for zone in written["zone"].unique().drop_nulls().sort():
        rows = written["zone"] == zone
        instants = instants.zip_with(~rows.fill_null(False), _of_zone(local, zone, symbols, options, rows))
    if naive.any():
        zone = options.timezone or _utc_of_iso(written.filter(naive))
        part = in_utc(local.filter(naive), zone, symbols.filter(naive), newest_first=newest_first)
        filled = pl.Series([None] * len(local), dtype=_UTC).scatter(naive.arg_true(), part)
        instants = instants.zip_with(~naive, filled)
        words = zone if options.timezone else "none is written: UTC, unless --timezone names another"
    return instants.rename("timestamp"), words


def is_dated(timeframe: str) -> bool:
    """Return whether candles of a timeframe are stamped with dates."""
    return CANDLE_DURATION[timeframe] >= timedelta(days=1)


def half_finished(local: pl.Series, symbols: pl.Series, timeframe: str) -> pl.Series:
    """Return which candles are a quote at the end of a symbol's candles: less than a candle after the others.

    Such a row stands at a time of day at which no other candle of the symbol does; where all others are
    dates, any time of day is one.

    Parameters
    ----------
    local
        Times as written, one for each candle, in any order.
    """
    rows = pl.DataFrame({"symbol": symbols, "local": local})
    newest = rows.group_by("symbol").agg(newest=pl.col("local").max())
    others = rows.join(newest, on="symbol").filter(pl.col("local") < pl.col("newest"))
    dated, duration = is_dated(timeframe), CANDLE_DURATION[timeframe]
    near = pl.lit(dated) | (pl.col("newest") - pl.col("local").max() < duration)
    candidates = others.group_by("symbol", "newest").agg(near=near.any()).filter("near").drop("near")
    if dated:
        candidates = candidates.filter(pl.col("newest").dt.truncate("1d") != pl.col("newest"))
    if candidates.is_empty():
        return pl.repeat(False, len(local), eager=True)
    same_clock = pl.col("local").dt.time() == pl.col("newest").dt.time()
    midnight = pl.col("local").dt.truncate("1d") == pl.col("local")
    alone = ~same_clock.any() & (midnight.all() if dated else pl.lit(True)) & (pl.len() >= _FEWEST)
    quotes = (
        others.join(candidates.select("symbol"), on="symbol")
        .group_by("symbol", "newest")
        .agg(alone=alone)
        .filter("alone")
    )
    found = rows.join(quotes, on="symbol", how="left", maintain_order="left")
    return found.select((pl.col("local") == pl.col("newest")).fill_null(False)).to_series()


def _utc_of_iso(written: pl.DataFrame) -> str:
    """Return UTC for times in the form of ISO 8601; others are refused.

    Raises
    ------
    TableError
        Names a time and what it could be.
    """
    doubtful = written.filter(~pl.col("iso") & pl.col("has_time"))
    if doubtful.is_empty():
        return "UTC"
    raise TableError(
        f"its times, such as {doubtful['local'][0]:%Y-%m-%d %H:%M}, have no zone, and may be UTC or the "
        "clock of an exchange or a broker: give --timezone UTC, or a name such as --timezone America/New_York"
    )


def _of_zone(
    local: pl.Series, zone: str, symbols: pl.Series, options: ReadOptions, rows: pl.Series
) -> pl.Series:
    """Return instants of rows that name their zone; other rows have any value."""
    places = rows.fill_null(False).arg_true()
    part = local.gather(places)
    if "/" in zone:
        instants = in_utc(part, zone, symbols.gather(places), newest_first=False)
    elif options.timezone is not None:
        instants = in_named_zone(part, zone, options.timezone)
    else:
        raise TableError(
            f"its times name the zone {zone}, an abbreviation of several zones: give --timezone with a "
            "name such as America/New_York"
        )
    return pl.Series([None] * len(local), dtype=_UTC).scatter(places, instants)
