"""The flow predict-batch: forecasts symbols from stored candles and the calendar, and stores the envelopes.

``python -m flows.predict --timeframe 1h`` runs it once in this process, without a Prefect server if need be.
"""

from collections.abc import Sequence
from typing import Any, Final

from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.states import Failed

from flows.forecasting.blocks import forecast_all
from flows.forecasting.forecasts import SamplingSettings
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_figures import run_figures
from flows.forecasting.run_plan import RunSettings
from flows.forecasting.run_state import final_state
from flows.forecasting.run_summary import SymbolOutcome, notices, warning_lines, without_events
from flows.forecasting.run_table import outcome_line, summary_table
from flows.forecasting.tasks import read_model
from flows.runtime.arguments import as_utc, names_in
from flows.runtime.commands import flow_arguments, run_command
from flows.runtime.dask_cluster import DaskError
from flows.runtime.disk_space import growing_folders, low_space
from flows.runtime.parameters import (
    AsOf,
    Force,
    Lookback,
    Moves,
    PredLen,
    Quantiles,
    RealisedVolatility,
    SampleCount,
    Seed,
    StaleAfter,
    StoreSamples,
    Symbols,
    Temperature,
    TimeframeParameter,
    TopK,
    TopP,
    WaitForCandles,
    WithEvents,
)
from flows.runtime.run_events import LOW_SPACE, STALE_SYMBOLS, WITHOUT_EVENTS, emit_remark
from flows.runtime.run_notices import add_notice, take_notices
from flows.runtime.run_records import RECORDED, keep_figures
from flows.runtime.sentences import listed
from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import DAILY_RUN_S, HOURLY_RUN_S, SHORT_RUN_S
from inference_server.client import ClientError
from inference_server.schemas import ModelInfo

MODELS_PER_RUN: Final = 3
"""Models with which a run forecasts at most, where the server changes its model during the run."""

_UNSTABLE: Final = (
    f"the server changed its model {MODELS_PER_RUN} times during the run, or several servers with different "
    "models answer at one address; run again when it serves one model"
)


@flow(name="predict-batch", timeout_seconds=DAILY_RUN_S, **RECORDED)
def predict_batch(
    symbols: Symbols = None,
    timeframe: TimeframeParameter = "1d",
    pred_len: PredLen = 120,
    sample_count: SampleCount = 20,
    top_p: TopP = 1.0,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    lookback: Lookback = None,
    as_of: AsOf = None,
    with_events: WithEvents = True,
    seed: Seed = None,
    store_samples: StoreSamples = False,
    stale_after: StaleAfter = None,
    force: Force = False,
    quantiles: Quantiles = None,
    moves: Moves = None,
    realised_volatility: RealisedVolatility = False,
    wait_for_candles: WaitForCandles = None,
) -> list[SymbolOutcome] | State[Any]:
    """Forecast each symbol from its last closed candles and store p10, p50 and p90 of close.

    Parameters
    ----------
    symbols
        Names of instruments; None for all that are active and have candles.
    pred_len, sample_count
        Future candles, and sample paths that the envelope is taken over.
    top_p
        1.0, because a cut tail narrows every envelope.
    lookback
        Past candles; None for the most that do not slide the model's context, at most 512. Fewer are used
        where the last close would be clipped otherwise; see `FlowSettings.shorter_lookback`.
    as_of
        Only candles that had closed by this instant are used; naive means UTC, None the current time.
    with_events
        Whether the forecasts use event arrays.
    seed
        Seed of every symbol; None for a hash of its symbol, timeframe, last candle and model version.
    store_samples
        Whether the close of every sample path is requested and stored too, for the CRPS; the flow
        score-forecasts deletes them some time after they were scored. 4 × sample_count × pred_len bytes for
        each forecast.
    stale_after
        A symbol is skipped as stale if more candles than this have closed since its newest stored one; None
        for 24 hourly or 5 daily ones, the longest hole that a window may have.
    force
        Whether forecasts are made again whose row is stored from the same candles, events, settings and
        model.
    quantiles, moves, realised_volatility
        Statistics of the sample paths in the column `statistics`: levels of the quantiles of open, high, low
        and close; changes of the last close to prices whose probabilities are given beside P(up) (0.02: two
        per cent up; empty: P(up) alone); whether quantiles of realised volatility are given. See
        docs/statistics.md.
    wait_for_candles
        Seconds from `as_of` within which the run waits for newest candles that have closed and are not in the
        database, after it has forecast the other symbols; None for ``KRONOS_WAIT_FOR_CANDLES_S``.

    Returns
    -------
    list of SymbolOutcome or State
        An outcome for each symbol, in a state whose name says what is wrong (see `final_state`): a failed one
        names the symbols if any failed. The forecasts of the others are stored all the same.
    """
    try:
        flow_settings = FlowSettings.from_env()
        report_low_space(timeframe)
    except ValueError as error:
        return Failed(message=str(error))
    settings = RunSettings(
        SamplingSettings(timeframe, pred_len, sample_count, top_p, temperature, top_k, seed),
        as_utc(as_of),
        lookback,
        with_events,
        store_samples,
        stale_after,
        force,
        WantedStatistics(
            tuple(quantiles or ()), None if moves is None else tuple(moves), realised_volatility
        ),
        flow_settings.wait_for_candles_s if wait_for_candles is None else wait_for_candles,
    )
    try:
        model = read_model()
    except ClientError as error:
        return Failed(message=no_model_message(error))
    try:
        outcomes = forecast_with_changing_models(model, settings, symbols)
    except DaskError as error:
        return Failed(message=str(error))
    return conclude(outcomes, settings, flow_settings.page_address)


predict_hourly = predict_batch.with_options(timeout_seconds=HOURLY_RUN_S)
"""The same flow for a schedule that runs it every hour."""

predict_1m = predict_batch.with_options(timeout_seconds=SHORT_RUN_S["1m"])
predict_5m = predict_batch.with_options(timeout_seconds=SHORT_RUN_S["5m"])
predict_15m = predict_batch.with_options(timeout_seconds=SHORT_RUN_S["15m"])
predict_30m = predict_batch.with_options(timeout_seconds=SHORT_RUN_S["30m"])

_IN_TIME: Final = {
    "1m": predict_1m,
    "5m": predict_5m,
    "15m": predict_15m,
    "30m": predict_30m,
    "1h": predict_hourly,
    "2h": predict_hourly,
    "4h": predict_hourly,
}
"""By timeframe, the flow that ends before the next candle has closed; `predict_batch` for longer ones."""


def forecast_with_changing_models(
    model: ModelInfo, settings: RunSettings, symbols: list[str] | None
) -> list[SymbolOutcome]:
    """Forecast symbols; those for which the server changed its model during the run are forecast again.

    Parameters
    ----------
    model
        The model that the server serves at the start.
    symbols
        Names of instruments; None for all that are active.

    Returns
    -------
    list of SymbolOutcome
        Sorted by symbol. Symbols that the last of `MODELS_PER_RUN` models did not forecast have failed.
    """
    failure = _UNSTABLE
    outcomes, remaining = forecast_all(model, settings, symbols)
    for _ in range(MODELS_PER_RUN - 1):
        if not remaining:
            break
        get_run_logger().warning(
            "the server changed its model from %s %s during the run: %s are forecast again, with the limits, "
            "seeds and calibration of the new one",
            model.name,
            model.version,
            ", ".join(remaining),
        )
        try:
            model = read_model()
        except ClientError as error:
            failure = no_model_message(error)
            break
        more, remaining = forecast_all(model, settings, remaining)
        outcomes += more
    outcomes += [SymbolOutcome(symbol, error=failure) for symbol in remaining]
    return sorted(outcomes, key=lambda outcome: outcome.symbol)


def no_model_message(error: ClientError) -> str:
    """Return why a run can't start or continue, and what to do."""
    return (
        f"the inference server does not answer which model it serves: {error}; start it with "
        "python -m inference_server, or set KRONOS_SERVER (KRONOS_SERVERS for several) to its address"
    )


def conclude(outcomes: Sequence[SymbolOutcome], settings: RunSettings, page_url: str) -> State[Any]:
    """Publish the summary of a run, emit what an operator may be notified of, and return the run's state."""
    timeframe, logger = settings.sampling.timeframe, get_run_logger()
    keep_figures(run_figures(outcomes))
    for outcome in outcomes:
        if outcome.row is None:
            logger.info(outcome_line(outcome))
    remarks = notices(outcomes)
    for remark in remarks:
        logger.warning(remark)
    remarks += take_notices()
    state = final_state(outcomes, with_events=settings.with_events)
    table, left_out = summary_table(outcomes, timeframe, page_url)
    heading = f"{timeframe} forecasts as of {settings.as_of:%Y-%m-%d %H:%M} UTC"
    failure = [str(state.message)] if state.is_failed() else []
    create_table_artifact(
        key=f"predict-batch-{timeframe}",
        table=table,
        description="\n\n".join(
            [heading, *failure, *remarks, *warning_lines(outcomes), *([] if left_out is None else [left_out])]
        ),
    )
    emit_remarks(outcomes, settings)
    return state


def report_low_space(timeframe: str) -> None:
    """Warn of a disk that is nearly full, in the log, in the run's summary and by an event.

    Raises
    ------
    ValueError
        ``KRONOS_MIN_FREE_MB`` is not a whole number.
    """
    for sentence in low_space(growing_folders()):
        add_notice(sentence)
        emit_remark(LOW_SPACE, timeframe, (), sentence)


def emit_remarks(outcomes: Sequence[SymbolOutcome], settings: RunSettings) -> None:
    """Emit an event about forecasts without the calendar, and one about stale symbols, if there are any."""
    reasons = without_events(outcomes) if settings.with_events else []
    if reasons:
        emit_remark(WITHOUT_EVENTS, settings.sampling.timeframe, (), ". ".join(reasons))
    stale = {outcome.symbol: outcome.stale for outcome in outcomes if outcome.stale is not None}
    if stale:
        first = next(iter(stale.items()))
        text = f"STALE: {listed(list(stale))}: not forecast. {first[0]}: {first[1]}"
        emit_remark(STALE_SYMBOLS, settings.sampling.timeframe, stale, text)


def main(arguments: list[str] | None = None, prog: str = "python -m flows.predict") -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = flow_arguments(prog, __doc__)
    parser.add_argument("--symbols", type=names_in, help="A,B; the active instruments unless given")
    parser.add_argument(
        "--stale-after",
        type=int,
        help="closed candles that may be missing at the end before a symbol is skipped (24 hourly, 5 daily)",
    )
    parser.add_argument(
        "--force", action="store_true", help="make forecasts again that are stored already from the same data"
    )
    parser.add_argument(
        "--wait-for-candles",
        type=float,
        metavar="SECONDS",
        help="time to wait for newest candles that are not in the database yet (KRONOS_WAIT_FOR_CANDLES_S)",
    )
    args = parser.parse_args(arguments)
    args.symbols = args.symbols or None
    return run_command(parser, _IN_TIME.get(args.timeframe, predict_batch), vars(args))


if __name__ == "__main__":
    raise SystemExit(main())
