"""Windows that don't overlap: against a plain loop, on any spacing of instants."""

import dataclasses
from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.backtest.scored import Scored
from flows.evaluation.non_overlapping import all_symbols, of_symbol
from flows.evaluation.panel import panel_of
from tests.helpers.simulated_backtests import MODEL, simulated_backtest

FORECASTS = simulated_backtest(instants=8, symbols=2, steps=4, paths=3)


def moved(hours: list[int]) -> list[Scored]:
    """The forecasts with each instant so many hours earlier than the end of the horizon before it."""
    earlier = np.cumsum(hours)
    found = []
    for each in FORECASTS:
        number = (each.made_at - FORECASTS[0].made_at) // timedelta(hours=4)
        shift = timedelta(hours=int(earlier[number]))
        found.append(
            dataclasses.replace(
                each,
                made_at=each.made_at - shift,
                as_of=each.as_of - shift,
                timestamps=each.timestamps - np.timedelta64(shift),
            )
        )
    return found


@given(st.lists(st.integers(0, 3), min_size=8, max_size=8), st.integers(1, 4))
def test_windows_follow_each_other(hours: list[int], step: int) -> None:
    panel = panel_of(moved(hours), MODEL)
    rows = [row for row in range(len(panel.symbol)) if panel.symbol[row] == 1]
    chosen: list[int] = []
    for row in rows:
        if not chosen or panel.start[row] >= panel.ends[chosen[-1], step - 1]:
            chosen.append(row)
    assert of_symbol(panel, 1, step).tolist() == chosen
    assert [rows[panel.symbol[rows] == 1].item() for rows in all_symbols(panel, step)] == chosen
    assert all(len(rows) == 2 for rows in all_symbols(panel, step))


def test_an_instant_waits_for_the_longest_horizon_of_any_symbol() -> None:
    slow = [
        dataclasses.replace(each, timestamps=each.timestamps + np.timedelta64(5, "h"))
        if each.symbol == "S00"
        else each
        for each in FORECASTS
    ]
    panel = panel_of(slow, MODEL)
    instants = [panel.instant[rows[0]] for rows in all_symbols(panel, 4)]
    assert instants == [0, 3, 6]  # 8 + 1 hours after the start, of instants every 4 hours
    assert len(of_symbol(panel, 1, 4)) == 8
