"""The whole of an evaluation, and its tables, on a simulated market."""

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from flows.backtest.baselines import BASELINES
from flows.backtest.scored import name_without_events
from flows.evaluation.evaluation import Evaluation, LeftOut, evaluation_of
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
