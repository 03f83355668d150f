"""The whole of an evaluation, and its tables, on a simulated market."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from flows.backtest.baselines import BASELINES
from flows.backtest.scored import name_without_events
from flows.evaluation.evaluation import UNKNOWN_TICK, Evaluation, LeftOut, evaluation_of
from flows.evaluation.terminal_tables import answer_lines, baseline_table, event_table, return_table
from tests.helpers.simulated_backtests import MODEL, SETTINGS, simulated_backtest


def test_a_model_that_knows_the_volatility_and_the_events_gets_two_yes(evaluation: Evaluation) -> None:
    assert evaluation.better_than_baselines.verdict == "yes"
    assert evaluation.events_help.verdict == "yes"
    assert evaluation.windows == 120 * 5
    assert evaluation.shown_steps == [1, 4]
    assert [each.model for each in evaluation.models] == [MODEL, *BASELINES, name_without_events(MODEL)]
    assert [each.baseline for each in evaluation.comparisons] == list(BASELINES)
    assert len(evaluation.returns.hit_rate) == len(evaluation.returns.across_symbols) == 4
    assert {len(each) for each in evaluation.returns.over_time_by_symbol.values()} == {2}


def figures(found: Evaluation) -> list[float]:
    """Every number of an evaluation, in order; NaN for those unknown."""

    def leaves(value: Any) -> Iterator[float]:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for part in parts:
            yield from leaves(part)
        if value is None or isinstance(value, int | float):
            yield float("nan") if value is None else float(value)

    return list(leaves(msgspec.json.decode(msgspec.json.encode(found))))


@settings(max_examples=8)
@given(st.floats(-1e4, 1e4))
def test_price_differences_give_the_same_figures_at_any_level(shift: float) -> None:
    one, other = (
        evaluation_of(
            simulated_backtest(
                instants=12,
                symbols=5,
                steps=2,
                paths=4,
                without_events=True,
                differences=range(5),
                shift=each,
            ),
            SETTINGS,
            LeftOut({}, {}, {}),
        )
        for each in (0.0, shift)
    )
    assert one.unit == "volatility"
    np.testing.assert_allclose(figures(other), figures(one), rtol=1e-6, atol=1e-6)


def test_price_differences_change_no_figure_of_another_symbol() -> None:
    alone, mixed = (
        evaluation_of(
            simulated_backtest(instants=30, symbols=5, steps=2, paths=4, differences=differences),
            SETTINGS,
            LeftOut({}, {}, {}),
        )
        for differences in ([], [3, 4])
    )
    assert (alone.unit, mixed.unit) == ("bp", "volatility")
    assert (alone.price_differences, mixed.price_differences) == ([], ["S03", "S04"])
    for symbol in ("S00", "S01", "S02"):
        one, other = (each.comparisons[0].crps_by_symbol[symbol] for each in (alone, mixed))
        assert msgspec.to_builtins(other) == pytest.approx(msgspec.to_builtins(one))
        for part in ("hit_rate_by_symbol", "over_time_by_symbol"):
            assert getattr(alone.returns, part)[symbol] == getattr(mixed.returns, part)[symbol]


def test_a_cost_in_ticks_needs_the_tick_size() -> None:
    scored = simulated_backtest(instants=3, symbols=4, paths=3, differences=[3])
    unknown = evaluation_of(scored, SETTINGS, LeftOut({}, {}, {}))
    assert unknown.returns.not_traded == {"S03": UNKNOWN_TICK}
    assert any(line.startswith("In no long-short portfolio: S03 (") for line in answer_lines(unknown))
    for change in ({"tick_sizes": {"S03": 0.01}}, {"cost_ticks": 0.0}):
        changed = msgspec.structs.replace(SETTINGS, **change)
        known = evaluation_of(scored, changed, LeftOut({}, {}, {}))
        assert known.returns.not_traded == {}
    assert "5 bp of the value traded and 0 ticks" in " ".join(shown(return_table(known)).split())


@pytest.mark.parametrize("width", [0.1, 8.0])
def test_a_model_of_a_wrong_width_gets_a_no(width: float) -> None:
    scored = simulated_backtest(instants=60, width=width)
    found = evaluation_of(scored, SETTINGS, LeftOut({}, {}, {}))
    assert found.better_than_baselines.verdict == "no"
    assert found.events_help.verdict == "not compared"


def test_the_same_forecasts_and_seed_give_the_same_figures() -> None:
    scored = simulated_backtest(instants=40, symbols=3, paths=5)
    left_out = LeftOut({}, {}, {})
    first, again = (msgspec.json.encode(evaluation_of(scored, SETTINGS, left_out)) for _ in range(2))
    assert first == again
    other = msgspec.structs.replace(SETTINGS, seed=2)
    assert msgspec.json.encode(evaluation_of(scored, other, left_out)) != first


@pytest.mark.parametrize(("instants", "symbols", "paths"), [(1, 1, 1), (1, 2, 3), (9, 1, 2)])
def test_a_tiny_back_test_has_figures_without_intervals(instants: int, symbols: int, paths: int) -> None:
    scored = simulated_backtest(instants=instants, symbols=symbols, paths=paths)
    found = evaluation_of(scored, SETTINGS, LeftOut({}, {}, {}))
    assert found.better_than_baselines.verdict == "unclear"
    msgspec.json.encode(found)


def shown(*tables: Table) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()


def test_the_tables_fit_a_terminal(evaluation: Evaluation) -> None:
    text = shown(baseline_table(evaluation), event_table(evaluation), return_table(evaluation))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "historical volatility 20" in text
    assert "quiet day" in text
    assert "long-short tercile after 5 bp" in " ".join(text.split())


def test_the_table_says_why_there_is_no_portfolio() -> None:
    scored = simulated_backtest(instants=4, symbols=2, paths=3)
    text = shown(return_table(evaluation_of(scored, SETTINGS, LeftOut({}, {}, {}))))
    assert "no long-short portfolio: fewer than 3 symbols" in " ".join(text.split())


def test_the_answers_come_first_and_name_symbols_without_a_forecast(evaluation: Evaluation) -> None:
    missing = LeftOut({}, {"XRP-USD": "3 windows: the feed had stopped"}, {})
    lines = answer_lines(msgspec.structs.replace(evaluation, left_out=missing))
    assert lines == [
        evaluation.better_than_baselines.sentence,
        evaluation.events_help.sentence,
        "No forecast of XRP-USD (3 windows: the feed had stopped)",
    ]
    assert len(answer_lines(evaluation)) == 2
