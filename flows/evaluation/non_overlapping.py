"""Selects windows whose outcomes share no candle, so that statistics may take them for independent."""

from collections.abc import Iterator

import numpy as np

from flows.evaluation.panel import Panel
from market.types import DatetimeArray, Int64Array


def of_symbol(panel: Panel, symbol: int, step: int) -> Int64Array:
    """Return windows of a symbol, in order, none of which begins before the previous one's step closes.

    Parameters
    ----------
    symbol
        Index into `Panel.symbols`.
    step
        From 1.
    """
    rows = panel.rows_of[symbol]
    return rows[_chain(panel.start[rows], panel.ends[rows, step - 1])]


def all_symbols(panel: Panel, step: int) -> Iterator[Int64Array]:
    """Yield the windows of one instant after the other, in order, leaving out instants that overlap.

    An instant overlaps if one of its windows begins before the step of a window of the previous instant, of
    any symbol, has closed.
    """
    parts = np.split(np.arange(len(panel.instant)), np.flatnonzero(np.diff(panel.instant)) + 1)
    free = panel.start.min()
    for rows in parts:
        if panel.start[rows].min() >= free:
            free = panel.ends[rows, step - 1].max()
            yield rows


def _chain(starts: DatetimeArray, ends: DatetimeArray) -> Int64Array:
    """Return the indices of intervals taken greedily in order; `starts` are increasing."""
    if (starts[1:] >= ends[:-1]).all():
        return np.arange(len(starts))
    chosen = []
    position = 0
    while position < len(starts):
        chosen.append(position)
        position = max(int(np.searchsorted(starts, ends[position])), position + 1)
    return np.array(chosen, dtype=np.int64)
