"""Takes releases off the schedule that a newer file of their source lacks: moved or cancelled ones.

A row is withdrawn only if it has no figures, is of the same source and of a series (currency and title, or
symbol) that the file holds, stands between that series' first and last row in the file, and the file lacks
it. It is marked, never deleted. A file that lacks much is taken for incomplete, not for news.
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

LARGEST_SHARE: Final = 0.1  # of a series, or of a source's rows in the file's span; one row may always go
_SERIES: Final = ("source_", "currency_", "series_")


@dataclass(frozen=True)
class Withdrawal:
    """Which stored rows a file takes off the schedule, and why others stay."""

    rows: pl.DataFrame
    notes: tuple[str, ...]


def plan_withdrawal(connection: psycopg.Connection[Any], rows: pl.DataFrame) -> Withdrawal:
    """Return what `withdrawals` says of the rows of a file and those that the table holds of its sources.

    Raises
    ------
    psycopg.Error
        The table can't be read.
    """
    sources = rows["source"].unique().to_list()
    given = {"sources": [source for source in sources if source is not None], "unnamed": None in sources}
    with connection.cursor() as cursor:
        stored = cursor.execute(load("calendar_of_sources"), given).fetchall()
    return withdrawals(rows, pl.DataFrame(stored, schema=ECONOMIC_CALENDAR, orient="row"))


def withdraw(connection: psycopg.Connection[Any], rows: pl.DataFrame) -> None:
    """Mark rows as withdrawn now."""
    with connection.cursor() as cursor:
        cursor.executemany(load("withdraw_calendar"), rows.select(KEY).to_dicts())


def withdrawals(rows: pl.DataFrame, stored: pl.DataFrame) -> Withdrawal:
    """Return the stored rows that a file withdraws.

    Parameters
    ----------
    rows
        Of the file, columns of `flows.files.calendar_files.CALENDAR`.
    stored
        Rows of the table of the same sources, with `withdrawn_at`.
    """
    nothing = stored.clear()
    if rows.is_empty():
        return Withdrawal(nothing, (_refusal("the file is empty"),))
    file = _with_series(rows)
    standing = _with_series(stored.filter(pl.col("withdrawn_at").is_null()))
    absent = standing.join(file.select(_keys()), on=_keys(), how="anti")
    short, notes = _shortened(file, standing, absent)
    spans = file.group_by(_SERIES).agg(first=pl.col("event_time").min(), last=pl.col("event_time").max())
    sizes = standing.group_by(_SERIES).agg(size=pl.len())
    gone = (
        absent.join(spans, on=_SERIES)
        .filter(
            pl.col("event_time").is_between("first", "last"),
            pl.col("actual").is_null(),
            pl.col("hawkish_score").is_null(),
            ~pl.col("source_").is_in(short),
        )
        .join(sizes, on=_SERIES)
        .with_columns(going=pl.len().over(_SERIES))
        .with_columns(too_many=pl.col("going") > _most(pl.col("size")))
        .sort("event_time", "title")
    )
    refused = gone.filter("too_many").unique(_SERIES, maintain_order=True)
    notes += [
        _refusal(
            f"the file lacks {row['going']} of {row['size']} rows of {row['currency'] or ''} "
            f"{row['symbol'] or row['title']}, more than a tenth of them; that series stays as it is"
        )
        for row in refused.to_dicts()
    ]
    return Withdrawal(gone.filter(~pl.col("too_many")).select(stored.columns), tuple(notes))


def _shortened(
    file: pl.DataFrame, standing: pl.DataFrame, absent: pl.DataFrame
) -> tuple[list[str], list[str]]:
    """Return the sources of which a file lacks so much that it can't be whole, and what to say of them."""
    spans = file.group_by("source_").agg(first=pl.col("event_time").min(), last=pl.col("event_time").max())
    inside = pl.col("event_time").is_between("first", "last")
    held, lacking = (
        each.join(spans, on="source_").filter(inside).group_by("source_").agg(pl.len())
        for each in (standing, absent)
    )
    counts = held.join(lacking, on="source_", suffix="_absent").filter(
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
