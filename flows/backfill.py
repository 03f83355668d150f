"""The flow backfill: makes the forecasts that a range of the past lacks, each from what was known then.

``python -m flows.backfill --start 2024-01-01 --end 2024-02-01`` runs it once in this process.
"""

import argparse
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.states import Failed

from flows.backfilling.orders import BackfillSettings
from flows.backfilling.past_range import PastRange, checked_range
from flows.backfilling.progress import BackfillCount, count_table
from flows.backfilling.run import fill_range
from flows.forecasting.forecasts import SamplingSettings, usable_lookback
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.tasks import read_model
from flows.forecasting.training_span import training_span
from flows.predict import no_model_message
from flows.runtime.arguments import TIMEFRAME, as_utc, instant, names_in, positive
from flows.runtime.commands import run_command
from flows.runtime.parameters import (
    Force,
    Lookback,
    Moves,
    PredLen,
    Quantiles,
    RealisedVolatility,
    SampleCount,
    Seed,
    StoreSamples,
    Symbols,
    Temperature,
    TimeframeParameter,
    TopK,
    TopP,
    WithEvents,
    parameter,
)
from flows.runtime.settings import FlowSettings
from inference_server.client import ClientError
from inference_server.schemas import ModelInfo
from market.timeframes import CANDLE_DURATION
from market.warning_codes import WarningCode, warning

RUN_S: Final = 7 * 24 * 3600.0
"""A run ends after a week at the latest; the next one goes on where it ended."""

Start = Annotated[
    datetime,
    parameter("Forecasts start from candles that closed at this instant or later. UTC unless it has a zone."),
]
End = Annotated[
    datetime | None, parameter("The last such instant. UTC unless it has a time zone. None: now.")
]
Every = Annotated[
    int,
    parameter("1: a forecast from every candle; n: one every n hours or days.", ge=1, le=100_000),
]


@flow(name="backfill", timeout_seconds=RUN_S)
def backfill(
    start: Start,
    end: End = None,
    symbols: Symbols = None,
    timeframe: TimeframeParameter = "1h",
    every: Every = 1,
    pred_len: PredLen = 120,
    sample_count: SampleCount = 20,
    top_p: TopP = 1.0,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    lookback: Lookback = None,
    with_events: WithEvents = True,
    seed: Seed = None,
    store_samples: StoreSamples = False,
    force: Force = False,
    quantiles: Quantiles = None,
    moves: Moves = None,
    realised_volatility: RealisedVolatility = False,
) -> BackfillCount | State[Any]:
    """Forecast from every candle of a past range that no forecast is stored from.

    Each forecast is made from the candles, the calendar and the calibration that a run of predict-batch at
    the candle's close would have used. Its row has `backfilled` true; it never replaces a live forecast, and
    is made only before the newest live forecast of its symbol. Interrupt a run and run it again: what is
    stored is not made again.

    Parameters
    ----------
    start, end
        The forecasts start from the candles that closed between these two instants, both included; naive
        means UTC, no end means now.
    symbols
        Names of instruments; None for all that are active.
    every
        1 for a forecast from every candle, n for one every n hours or days, from the newest candle then.
    pred_len, sample_count, top_p, temperature, top_k, lookback, with_events, seed
        As in the flow predict-batch. With the same values as the live runs the rows can be compared.
    store_samples
        Whether the close of every sample path is stored, for the CRPS.
    force
        Whether backfilled forecasts that are stored are made again; live ones stay in any case.
    quantiles, moves, realised_volatility
        As in the flow predict-batch.

    Returns
    -------
    BackfillCount or State
        What was done; a failed state if the range is refused, the run ended early or forecasts failed.
    """
    now = datetime.now(UTC)
    try:
        shorter = timeframe in FlowSettings.from_env().shorter_lookback
        past = checked_range(timeframe, as_utc(start), now if end is None else as_utc(end), every, now)
        statistics = WantedStatistics(
            tuple(quantiles or ()), None if moves is None else tuple(moves), realised_volatility
        )
        model = read_model()
        settings = BackfillSettings(
            SamplingSettings(timeframe, pred_len, sample_count, top_p, temperature, top_k, seed),
            checked_lookback(model, lookback, pred_len, sample_count),
            with_events,
            store_samples,
            shorter,
            statistics,
            training_span(model),
        )
        note = span_note(past, pred_len, settings)
        if note is not None:
            get_run_logger().warning(note)
        count, stopped = fill_range(model, settings, past, symbols, now if force else None)
    except (ValueError, LookupError) as error:
        return Failed(message=str(error))
    except ClientError as error:
        return Failed(message=no_model_message(error))
    return conclude(count, past, stopped, note)


def checked_lookback(model: ModelInfo, lookback: int | None, pred_len: int, sample_count: int) -> int:
    """Return the lookback of a run.

    Raises
    ------
    ValueError
        The server would refuse every forecast with these settings.
    """
    for name, given, most in (
        ("pred_len", pred_len, model.limits.max_pred_len),
        ("sample_count", sample_count, model.limits.max_sample_count),
    ):
        if given > most:
            raise ValueError(f"{name} {given} given; the server takes at most {most}")
    return usable_lookback(lookback, pred_len, model.max_context, model.limits.min_candles)


def span_note(past: PastRange, pred_len: int, settings: BackfillSettings) -> str | None:
    """Return what is known of the training span, if forecasts of a range may lie in it; None if none does."""
    span = settings.training_span
    if span is None:
        return warning(
            WarningCode.IN_TRAINING_SPAN,
            "the bundle's manifest names no training span: whether the model was trained on the candles "
            "forecast is unknown, and no row says so",
        )
    if past.start > span.last or past.end + pred_len * CANDLE_DURATION[past.timeframe] < span.first:
        return None
    return warning(
        WarningCode.IN_TRAINING_SPAN,
        f"IN TRAINING SPAN: the model was trained on candles of {span}: forecasts of candles in that time "
        "have this warning, and no calibration is learned from them",
    )


def conclude(
    count: BackfillCount, past: PastRange, stopped: str | None, note: str | None
) -> BackfillCount | State[Any]:
    """Publish the summary of a run; return a failed state if it ended early or forecasts failed."""
    heading = (
        f"{past.timeframe} forecasts from candles that closed from {past.start:%Y-%m-%d %H:%M} to "
        f"{past.end:%Y-%m-%d %H:%M} UTC: {count.sum_of('made'):,} made, {count.sum_of('stored'):,} stored "
        f"before, {count.sum_of('left_out'):,} left out, {count.sum_of('failed'):,} failed."
    )
    remark = None
    if count.without_events is not None:
        text = (
            f"WITHOUT EVENTS: {count.sum_of('without_events'):,} forecasts, the last: {count.without_events}"
        )
        remark = warning(WarningCode.EVENTS_NOT_USED, text)
        get_run_logger().warning(remark)
    failure = None if stopped is None else f"ended early, run again for what is missing: {stopped}"
    failed = {symbol: each for symbol, each in count.symbols.items() if each.failed}
    if failure is None and failed:
        shown = "; ".join(f"{symbol}: {each.reason}" for symbol, each in sorted(failed.items())[:20])
        failure = f"{sum(each.failed for each in failed.values()):,} forecasts failed. {shown}"
    create_table_artifact(
        key=f"backfill-{past.timeframe}-summary",
        table=count_table(count),
        description="\n\n".join(text for text in (heading, failure, note, remark) if text is not None),
    )
    get_run_logger().info(heading)
    return count if failure is None else Failed(message=f"{heading} {failure}")


def main(arguments: list[str] | None = None, prog: str = "python -m flows.backfill") -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = _parser(prog)
    return run_command(parser, backfill, vars(parser.parse_args(arguments)))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--start", type=instant, required=True, help="first instant, ISO 8601, UTC unless it has a zone"
    )
    parser.add_argument("--end", type=instant, help="last instant; the current time unless given")
    parser.add_argument("--timeframe", default="1h", **TIMEFRAME)
    parser.add_argument("--symbols", type=names_in, help="A,B; the active instruments unless given")
    parser.add_argument(
        "--every", type=positive, default=1, help="a forecast every so many hours or days (default 1)"
    )
    parser.add_argument("--pred-len", type=positive, default=120, help="candles ahead (default 120)")
    parser.add_argument(
        "--samples", type=positive, default=20, dest="sample_count", help="sample paths (default 20)"
    )
    parser.add_argument(
        "--lookback", type=positive, help="past candles; as many as fit the context unless given"
    )
    parser.add_argument("--no-events", dest="with_events", action="store_false", help="leave the events out")
    parser.add_argument(
        "--force", action="store_true", help="make backfilled forecasts again; live ones stay as they are"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
