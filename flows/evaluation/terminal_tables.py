"""Tables of an evaluation for the terminal; each fits 80 columns."""

from rich import box
from rich.table import Table

from flows.backtest.units import DIGITS, SHORT_NAMES
from flows.evaluation.correlations import Coefficient
from flows.evaluation.evaluation import Evaluation
from flows.evaluation.figures_as_text import costs, number, with_interval


def answer_lines(evaluation: Evaluation) -> list[str]:
    """Return the two answers, and the symbols that have no forecast, price differences, or no trades."""
    lines = [evaluation.better_than_baselines.sentence, evaluation.events_help.sentence]
    missing = evaluation.left_out.symbols
    if missing:
        lines.append("No forecast of " + "; ".join(f"{name} ({why})" for name, why in missing.items()))
    if evaluation.price_differences:
        lines.append(
            f"Prices of {', '.join(evaluation.price_differences)} may be zero or negative: their moves are "
            "price differences, not returns, and figures of several symbols are in volatilities, the root "
            "mean square of the moves in each forecast's window."
        )
    untraded = evaluation.returns.not_traded
    if untraded:
        lines.append(
            "In no long-short portfolio: " + "; ".join(f"{name} ({why})" for name, why in untraded.items())
        )
    return lines


def baseline_table(evaluation: Evaluation) -> Table:
    """Return the CRPS over that of each baseline, over all steps and at some."""
    table = _table("CRPS over that of each baseline, with a 95 % block bootstrap interval", "step")
    for each in evaluation.comparisons:
        table.add_column(each.baseline, justify="right", no_wrap=True)
    parts = [each.overall_crps for each in evaluation.comparisons]
    table.add_row("all", *(with_interval(part) for part in parts))
    for step in evaluation.shown_steps:
        parts = [each.crps[step - 1] for each in evaluation.comparisons]
        table.add_row(str(step), *(with_interval(part) for part in parts))
    return table


def return_table(evaluation: Evaluation) -> Table:
    """Return correlations of the median's move, hit rate and long-short portfolio at some steps."""
    portfolio = evaluation.returns.long_short[-1]
    title = f"The median's move; no long-short portfolio: {portfolio.portfolio}"
    if portfolio.net.n:
        title = f"The median's move; long-short {portfolio.portfolio} after {costs(evaluation)}"
    table = _table(title, "step")
    for name in (
        "IC across\nsymbols", "t", "IC over\ntime", "t", "RankIC", "t", "right\nway %", "95 %\ninterval",
        f"net {SHORT_NAMES[evaluation.unit]}\na period", "t",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    returns = evaluation.returns
    for step, portfolio in zip(evaluation.shown_steps, returns.long_short, strict=True):
        over_time, hits = returns.over_time[step - 1], returns.hit_rate[step - 1]
        table.add_row(
            str(step),
            *_coefficient(returns.across_symbols[step - 1].ic),
            *_coefficient(over_time.ic),
            *_coefficient(over_time.rank_ic),
            number(hits.value * 100, 1),
            f"{number(hits.low * 100, 0)}–{number(hits.high * 100, 0)}",
            number(portfolio.net.value, DIGITS[evaluation.unit], sign=True),
            number(portfolio.t, 1),
        )
    return table


def _coefficient(coefficient: Coefficient) -> tuple[str, str]:
    return number(coefficient.estimate.value, 3, sign=True), number(coefficient.t, 1)


def event_table(evaluation: Evaluation) -> Table:
    """Return forecasts with events beside those without, in each group of closes."""
    table = _table("With events over without, from one seed", "closes of")
    for name in ("closes", "CRPS ratio", "width ratio", "cover with\n%", "without\n%"):
        table.add_column(name, justify="right", no_wrap=True)
    for effect in evaluation.event_effects:
        table.add_row(
            effect.group,
            f"{effect.crps_ratio.n:,}",
            with_interval(effect.crps_ratio),
            number(effect.width_ratio.value, 2),
            number(effect.coverage_with.value * 100, 1),
            number(effect.coverage_without.value * 100, 1),
        )
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, title_justify="left")
    table.add_column(first, no_wrap=True)
    return table
