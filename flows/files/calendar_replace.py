"""Withdraws scheduled releases that a newer file of their source lacks: they were moved or cancelled.

A stored row is withdrawn only if it has no figures, its source and its series (currency and title, or symbol)
are in the file, its time is between that series' first and last row there, and the file lacks it. It is
marked, never deleted. Where a file lacks many rows, it counts as incomplete and nothing is withdrawn.
"""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg

from flows.events.titles import normal_title
from flows.files.calendar_files import KEY
from flows.runtime.table_columns import ECONOMIC_CALENDAR
from market.warning_codes import WarningCode, warning
from sql.loading import load

LARGEST_SHARE: Final = 0.1  # of a series, or of a source's rows in the span of the file; a single row may go
_SERIES: Final = ("source_", "currency_", "series_")


@dataclass(frozen=True)
class Withdrawal:
    """Stored rows that a file withdraws, and notes on series and sources that keep theirs."""

    rows: pl.DataFrame
    notes: tuple[str, ...]


def plan_withdrawal(connection: psycopg.Connection[Any], rows: pl.DataFrame) -> Withdrawal:
    """Read the stored rows of a file's sources and return the result of `withdrawals`.

    Raises
    ------
    psycopg.Error
        The table can't be read.
    """
    sources = rows["source"].unique().to_list()
    parameters = {"sources": [source for source in sources if source is not None], "unnamed": None in sources}
    with connection.cursor() as cursor:
        stored = cursor.execute(load("calendar_of_sources"), parameters).fetchall()
    return withdrawals(rows, pl.DataFrame(stored, schema=ECONOMIC_CALENDAR, orient="row"))


def withdraw(connection: psycopg.Connection[Any], rows: pl.DataFrame) -> None:
    """Mark rows as withdrawn at the current time."""
    with connection.cursor() as cursor:
        cursor.executemany(load("withdraw_calendar"), rows.select(KEY).to_dicts())


def withdrawals(rows: pl.DataFrame, stored: pl.DataFrame) -> Withdrawal:
    """Return the stored rows that a file withdraws.

    Parameters
    ----------
    rows
        Rows of the file, columns of `flows.files.calendar_files.CALENDAR`.
    stored
        Rows of the table from the same sources, with `withdrawn_at`.
    """
    if rows.is_empty():
        return Withdrawal(stored.clear(), (_refusal("the file is empty"),))
    file = _with_series(rows)
    scheduled = _with_series(stored.filter(pl.col("withdrawn_at").is_null()))
    absent = scheduled.join(file.select(_keys()), on=_keys(), how="anti")
    incomplete, notes = _incomplete_sources(file, scheduled, absent)
    spans = file.group_by(_SERIES).agg(first=pl.col("event_time").min(), last=pl.col("event_time").max())
    sizes = scheduled.group_by(_SERIES).agg(size=pl.len())
    missing = (
        absent.join(spans, on=_SERIES)
        .filter(
            pl.col("event_time").is_between("first", "last"),
            pl.col("actual").is_null(),
            pl.col("hawkish_score").is_null(),
            ~pl.col("source_").is_in(incomplete),
        )
        .join(sizes, on=_SERIES)
        .with_columns(missing=pl.len().over(_SERIES))
        .with_columns(too_many=pl.col("missing") > _most(pl.col("size")))
        .sort("event_time", "title")
    )
    kept = missing.filter("too_many").unique(_SERIES, maintain_order=True)
    notes += [
        _refusal(
            f"the file lacks {row['missing']} of {row['size']} rows of {row['currency'] or ''} "
            f"{row['symbol'] or row['title']}, more than a tenth of them; that series stays as it is"
        )
        for row in kept.to_dicts()
    ]
    return Withdrawal(missing.filter(~pl.col("too_many")).select(stored.columns), tuple(notes))


def _incomplete_sources(
    file: pl.DataFrame, scheduled: pl.DataFrame, absent: pl.DataFrame
) -> tuple[list[str], list[str]]:
    """Return the sources with too many rows missing in the file, and a note on each of them."""
    spans = file.group_by("source_").agg(first=pl.col("event_time").min(), last=pl.col("event_time").max())
    inside = pl.col("event_time").is_between("first", "last")
    stored, missing = (
        frame.join(spans, on="source_").filter(inside).group_by("source_").agg(pl.len())
        for frame in (scheduled, absent)
    )
    counts = stored.join(missing, on="source_", suffix="_absent").filter(
        pl.col("len_absent") > _most(pl.col("len"))
    )
    notes = [
        _refusal(
            f"the file lacks {lacking_rows} of the {rows} rows that the table has of "
            f"{f'source {source!r}' if source else 'no source'} in its span, as if it were shortened"
        )
        for source, rows, lacking_rows in counts.sort("source_").iter_rows()
    ]
    return counts["source_"].to_list(), notes


def _most(size: pl.Expr) -> pl.Expr:
    """Return the largest number of rows that may be withdrawn out of `size`."""
    return pl.max_horizontal(pl.lit(1.0), LARGEST_SHARE * size)


def _refusal(sentence: str) -> str:
    return warning(WarningCode.NOTHING_WITHDRAWN, f"nothing is withdrawn: {sentence}")


def _keys() -> list[str]:
    return ["event_time", *(f"{name}_" for name in KEY[1:])]


def _with_series(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the key without nulls, and the series: the symbol, else the title in its normal form."""
    titles = rows["title"].unique().drop_nulls().to_list()
    normal = [normal_title(title) for title in titles]
    series = pl.coalesce(
        "symbol", pl.col("title").replace_strict(titles, normal, default=None, return_dtype=pl.String)
    )
    parts = [pl.col(name).fill_null("").alias(f"{name}_") for name in ("source", *KEY[1:])]
    return rows.with_columns(*parts, series_=series)
