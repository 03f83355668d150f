"""Finds titles of a calendar that may be releases under a name that the configuration lacks."""

import numpy as np
import polars as pl

from flows.events.config import EventConfig
from flows.events.titles import closest_titles, currency_of, normal_title


def closest_to_family(
    calendar: pl.DataFrame,
    family: str,
    config: EventConfig,
    start: np.datetime64 | None = None,
    end: np.datetime64 | None = None,
    *,
    with_dates: bool = True,
) -> list[str]:
    """Return the untracked titles that are most similar to a family's, at most three, the most similar first.

    Parameters
    ----------
    calendar
        Rows of ``economic_calendar``.
    start, end
        First and last instant of the rows to search; None for no bound.
    with_dates
        Whether the titles of `ReleaseTitles.dates` are those of the family too.
    """
    rows = config.releases[family]
    wanted = [name for title in rows.titles for name in config.names_of(rows.currency, title)]
    present = _untracked_titles(calendar, rows.currency, config, start, end)
    return closest_titles([*wanted, *(rows.dates if with_dates else ())], present)


def _untracked_titles(
    calendar: pl.DataFrame,
    currency: str,
    config: EventConfig,
    start: np.datetime64 | None,
    end: np.datetime64 | None,
) -> list[str]:
    """Return the titles of a currency, or of none, between two instants that the configuration lacks."""
    columns = [name for name in ("title", "currency", "country", "source") if name in calendar.columns]
    time = pl.col("event_time").cast(pl.Datetime("us"))
    rows = calendar.lazy()
    if start is not None:
        rows = rows.filter(time >= pl.lit(start.item(), dtype=pl.Datetime("us")))
    if end is not None:
        rows = rows.filter(time <= pl.lit(end.item(), dtype=pl.Datetime("us")))
    untracked: set[str] = set()
    for row in rows.select(pl.col(columns).cast(pl.String)).unique().collect().iter_rows(named=True):
        title = row["title"]
        row_currency = currency_of(row["currency"], row.get("country"), row.get("source"))
        if title and row_currency is None:
            untracked.add(f"{title} (of no currency)")
        elif title and row_currency == currency and (currency, normal_title(title)) not in config.memberships:
            untracked.add(title)
    return sorted(untracked)
