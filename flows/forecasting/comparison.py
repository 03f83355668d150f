"""A stored forecast made again with its events and without, from its own seed: what the events changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import dict_row
from rich import box
from rich.table import Table

from flows.forecasting.run_summary import price
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


def comparison_table(comparison: Comparison) -> Table:
    """Return both envelopes at each release and at the horizon, and the ratio of their widths."""
    ours, base = comparison.with_events, comparison.without
    title = f"With its events and without, from one seed: {comparison.symbol} {ours.timeframe}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0)
    table.add_column("candle, UTC", no_wrap=True)
    table.add_column("release")
    for name in ("p10", "p50", "p90", "without: p10", "p50", "p90", "width"):
        table.add_column(name, justify="right", no_wrap=True)
    last = len(ours.p50) - 1
    for step in sorted({0, *comparison.releases, last}):
        quantiles = [each[step] for one in (ours, base) for each in (one.p10, one.p50, one.p90)]
        width, without = quantiles[2] - quantiles[0], quantiles[5] - quantiles[3]
        table.add_row(
            f"{ours.timestamps[step]:%Y-%m-%d %H:%M}",
            ", ".join(comparison.releases.get(step, ())),
            *map(price, quantiles),
            f"× {width / without:.2f}" if without else "–",
        )
    return table


def _releases(events: Float32Array, pred_len: int) -> dict[int, list[str]]:
    """Return the names of the releases on each step's candle, from the flags of the last `pred_len` rows."""
    found: dict[int, list[str]] = {}
    for step, channel in np.argwhere(events[-pred_len:, FAMILY_FLAGS] > 0):
        name = EVENT_CHANNELS[FAMILY_FLAGS[channel]].removeprefix("is_")
        found.setdefault(int(step), []).append(name)
    return found
