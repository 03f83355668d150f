"""Makes a stored forecast again with and without its events, from its seed, and shows the difference."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import dict_row
from rich import box
from rich.table import Table

from flows.forecasting.run_table import price
from inference_server.client import Client
from inference_server.schemas import PredictAnswer, PredictRequest
from market.event_channels import EVENT_CHANNELS, FAMILY_FLAGS
from market.timeframes import Timeframe
from market.types import Float32Array
from sql.loading import load


@dataclass(frozen=True)
class Comparison:
    """Two answers to one request, with events and without.

    Attributes
    ----------
    releases
        Names of the releases by the step of the prediction window, from 0, on whose candle they fall.
    """

    symbol: str
    with_events: PredictAnswer
    without: PredictAnswer
    releases: dict[int, list[str]]


def compare(
    connection: psycopg.Connection[Any], client: Client, symbol: str, timeframe: Timeframe
) -> Comparison | None:
    """Make a symbol's newest stored forecast again, twice; None where it was made without events."""
    key = {"symbol": symbol, "timeframe": timeframe, "as_of": None, "model_name": None}
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(load("stored_prediction"), key).fetchone()
        if row is None:
            return None
        made_from = cursor.execute(load("prediction_inputs"), {**key, **row}).fetchone()
    if made_from is None or made_from["events"] is None:
        return None
    events = np.frombuffer(made_from["events"], "<f4").reshape(-1, len(EVENT_CHANNELS))
    # The first candle predicted opens when the last one used has closed.
    moment: datetime = row["timestamps"][0]
    request = PredictRequest(
        symbol=symbol,
        timeframe=timeframe,
        as_of=moment.isoformat(),
        pred_len=row["pred_len"],
        seed=row["seed"],
        lookback=made_from["lookback"],
        sample_count=made_from["sample_count"],
        temperature=made_from["temperature"],
        top_k=made_from["top_k"],
        top_p=made_from["top_p"],
    )
    without = client.predict(request)
    return Comparison(symbol, client.predict(request, events), without, _releases(events, row["pred_len"]))


def event_comparison_table(comparison: Comparison) -> Table:
    """Return both envelopes at the first step, at each release and at the horizon; it fits 80 columns."""
    timeframe = comparison.with_events.timeframe
    title = f"With its events and without, from one seed: {comparison.symbol} {timeframe}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0)
    for name in ("candle, UTC", "release", "events"):
        table.add_column(name, no_wrap=name != "release")
    for name in ("p10", "p50", "p90", "p90 - p10"):
        table.add_column(name, justify="right", no_wrap=True)
    last = len(comparison.with_events.p50) - 1
    for step in sorted({0, *comparison.releases, last}):
        candle = f"{comparison.with_events.timestamps[step]:%Y-%m-%d %H:%M}"
        heads = (candle, ", ".join(comparison.releases.get(step, ()))), ("", "")
        answers = ("with", comparison.with_events), ("without", comparison.without)
        for head, (label, answer) in zip(heads, answers, strict=True):
            quantiles = answer.p10[step], answer.p50[step], answer.p90[step]
            table.add_row(*head, label, *map(price, quantiles), f"{_width(answer, step):.4g}")
    return table


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return a sentence for each step with a release: how many times as wide the events make its envelope."""
    lines = []
    for step, names in sorted(comparison.releases.items()):
        without = _width(comparison.without, step)
        if without > 0:
            ratio = _width(comparison.with_events, step) / without
            lines.append(
                f"p10 to p90 at the candle of {', '.join(names).upper()} is {ratio:.2f} times as wide with "
                "events as without (of few paths, which vary by chance)."
            )
    return lines


def _width(answer: PredictAnswer, step: int) -> float:
    return answer.p90[step] - answer.p10[step]


def _releases(events: Float32Array, pred_len: int) -> dict[int, list[str]]:
    """Return the names of the releases on each step's candle, from the flags of the last `pred_len` rows."""
    names: dict[int, list[str]] = {}
    for step, channel in np.argwhere(events[-pred_len:, FAMILY_FLAGS] > 0):
        name = EVENT_CHANNELS[FAMILY_FLAGS[channel]].removeprefix("is_")
        names.setdefault(int(step), []).append(name)
    return names
