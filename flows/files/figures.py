"""Reads the figures of releases as providers write them: ``0.3%``, ``254K``, ``1,234.5``, ``-7.1B``."""

import re
from typing import Final

import polars as pl

_FIGURE: Final = re.compile(
    r"[<>~≈]?\s*([+-]?)\s*[$€£¥]?\s*(\d[\d,]*\.?\d*|\.\d+)\s*([KMBT]?)\s*%?", re.IGNORECASE
)
_FACTORS: Final = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def figure(text: str) -> float | None:
    """Return the number in a published figure; None for text that is none, such as ``Pass``.

    K, M, B and T multiply it by a thousand, a million, a billion and a trillion; a percentage stays in
    percent. Commas separate thousands.
    """
    found = _FIGURE.fullmatch(text.strip().replace("−", "-"))
    if found is None:
        return None
    sign, digits, unit = found.groups()
    return float(f"{sign}{digits.replace(',', '')}") * _FACTORS[unit.upper()]


def with_figures(frame: pl.DataFrame, columns: tuple[str, ...]) -> tuple[pl.DataFrame, list[str]]:
    """Return a frame whose text columns of figures are numbers, and the texts that are no figure.

    Returns
    -------
    frame, unreadable
        In `frame` an unreadable figure is NULL.
    """
    unreadable: list[str] = []
    converted = []
    for name in columns:
        if name not in frame.columns or frame[name].dtype != pl.String:
            continue
        texts = [text for text in frame[name].unique().drop_nulls().to_list() if text.strip()]
        numbers = {text: figure(text) for text in texts}
        unreadable += [text for text, number in numbers.items() if number is None]
        converted.append(
            pl.col(name).replace_strict(
                list(numbers), list(numbers.values()), default=None, return_dtype=pl.Float64
            )
        )
    return frame.with_columns(converted), sorted(set(unreadable))
