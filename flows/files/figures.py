"""Reads the figures of releases as providers write them: ``0.3%``, ``254K``, ``1,234.5``, ``-7.1B``."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from flows.files.numbers import numbers, without_missing
from flows.files.options import Decimal

FIGURES: Final = ("actual", "forecast", "previous")

_SHOWN: Final = 5  # figures that a note lists
_MANY: Final = 100.0  # times that a figure with a unit is larger than one of its series without, by mistake
_LETTER: Final = r"(?i)\d\s*[kmbt万亿]"


def with_figures(
    frame: pl.DataFrame, columns: Sequence[str], decimal: Decimal = "point"
) -> tuple[pl.DataFrame, list[str]]:
    """Return a frame whose text columns of figures are numbers, and notes on figures that are left out.

    K, M, B and T multiply a figure by a thousand, a million, a billion and a trillion; a percentage stays in
    percent. Left out are text that is no number, such as ``Pass``, and a figure without a percent sign or a
    unit in a series whose others have one: it may be a hundred or a thousand times too small.

    Parameters
    ----------
    frame
        Rows of events; `title`, `currency` and `country` name their series.
    columns
        Those of figures.

    Returns
    -------
    frame, notes
        In `frame` a figure that is left out is NULL.
    """
    texts = [name for name in columns if name in frame.columns and frame[name].dtype == pl.String]
    if not texts:
        return frame, []
    read = frame.with_columns(numbers(frame[name], decimal, percent=True).alias(name) for name in texts)
    unreadable = {
        text
        for name in texts
        for text in without_missing(frame[name]).filter(read[name].is_null()).drop_nulls().to_list()
    }
    notes = [f"figures that are no numbers are left out: {_shown(sorted(unreadable))}"] if unreadable else []
    doubtful = _doubtful(frame, read, texts)
    if doubtful.is_empty():
        return read, notes
    named = [
        f"{text} of {title}" for title, text in doubtful.select("title", "text").unique().sort("title").rows()
    ]
    notes.append(
        "figures are left out whose unit is doubtful, because others of their series have a percent "
        f"sign or a unit and they have none, or the reverse: {_shown(named)}"
    )
    for name in texts:
        places = doubtful.filter(column=name)["row"]
        read = read.with_columns(read[name].scatter(places, None))
    return read, notes


def _doubtful(frame: pl.DataFrame, read: pl.DataFrame, texts: Sequence[str]) -> pl.DataFrame:
    """Return ``row``, ``column``, ``title`` and ``text`` of figures with another unit than their series."""
    series = [name for name in ("title", "currency", "country") if name in frame.columns]
    if "title" not in series:
        return pl.DataFrame(
            schema={"row": pl.Int64(), "column": pl.String(), "title": pl.String(), "text": pl.String()}
        )
    figures = pl.concat(
        frame.select(
            *series,
            row=pl.int_range(pl.len()),
            column=pl.lit(name),
            text=frame[name],
            size=read[name].abs(),
        )
        for name in texts
    ).filter(pl.col("size") > 0)  # fmt: skip
    percent, letter = pl.col("text").str.contains("%"), pl.col("text").str.contains(_LETTER)
    mixed = (
        figures.with_columns(percent=percent, letter=letter, plain=~percent & ~letter)
        .with_columns(
            percents=pl.col("percent").sum().over(series),
            plains=pl.col("plain").sum().over(series),
            typical=pl.col("size").filter("letter").median().over(series),
        )
    )  # fmt: skip
    both = (pl.col("percents") > 0) & (pl.col("plains") > 0)
    more_percents = pl.col("percents") >= pl.col("plains")
    too_small = pl.col("plain") & (pl.col("typical") > _MANY * pl.col("size"))
    odd = both & pl.when(more_percents).then("plain").otherwise("percent")
    return mixed.filter(odd | too_small.fill_null(False))


def _shown(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(repr(text) for text in texts[:_SHOWN]) + more
