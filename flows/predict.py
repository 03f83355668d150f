"""The flow predict-batch: forecasts symbols from stored candles and the calendar, and stores the envelopes.

``python -m flows.predict --timeframe 1h`` runs it once in this process, without a Prefect server if need be.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.states import Failed
from pydantic import Field

from flows.forecasting.blocks import forecast_all
from flows.forecasting.forecasts import SamplingSettings
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_figures import run_figures
from flows.forecasting.run_plan import RunSettings
from flows.forecasting.run_summary import (
    SymbolOutcome,
    failure_message,
    notices,
    outcome_line,
    summary_table,
    warning_lines,
)
from flows.forecasting.tasks import read_model
from flows.runtime.arguments import as_utc, names_in
from flows.runtime.commands import flow_arguments, run_once
from flows.runtime.dask_cluster import DaskError
from flows.runtime.run_notices import take_notices
from flows.runtime.run_records import RECORDED, keep_figures
from flows.runtime.settings import FlowSettings
from flows.runtime.time_limits import DAILY_RUN_S, HOURLY_RUN_S
from inference_server.client import ClientError
from inference_server.schemas import ModelInfo
from market.timeframes import Timeframe

MODELS_PER_RUN: Final = 3
"""Models with which a run forecasts at most, where the server changes its model during the run."""

_UNSTABLE: Final = (
    f"the server changed its model {MODELS_PER_RUN} times during the run, or several servers with different "
    "models answer at one address; run again when it serves one model"
)


@flow(name="predict-batch", timeout_seconds=DAILY_RUN_S, **RECORDED)
def predict_batch(
    symbols: list[str] | None = None,
    timeframe: Timeframe = "1d",
    pred_len: int = 120,
    sample_count: int = 20,
    top_p: float = 1.0,
    temperature: float = 1.0,
    top_k: int = 0,
    lookback: int | None = None,
    as_of: datetime | None = None,
    with_events: bool = True,
    seed: int | None = None,
    store_samples: bool = False,
    stale_after: int | None = None,
    force: bool = False,
    quantiles: list[float] | None = None,
    moves: list[float] | None = None,
    realised_volatility: bool = False,
    wait_for_candles: Annotated[float, Field(ge=0, le=DAILY_RUN_S)] | None = None,
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
        An outcome for each symbol; a failed state that names the symbols if any failed. The forecasts of the
        others are stored all the same.
    """
    try:
        flow_settings = FlowSettings.from_env()
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
    return conclude(outcomes, timeframe, settings.as_of)


predict_hourly = predict_batch.with_options(timeout_seconds=HOURLY_RUN_S)
"""The same flow for a schedule that runs it every hour."""


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


def conclude(
    outcomes: Sequence[SymbolOutcome], timeframe: Timeframe, as_of: datetime
) -> list[SymbolOutcome] | State[Any]:
    """Publish the summary of a run; return a failed state that names the symbols if any symbol failed."""
    logger = get_run_logger()
    keep_figures(run_figures(outcomes))
    failure = failure_message(outcomes)
    for outcome in outcomes:
        if outcome.skipped is not None or outcome.stale is not None:
            logger.info(outcome_line(outcome))
    remarks = notices(outcomes)
    for remark in remarks:
        logger.warning(remark)
    remarks += take_notices()
    heading = f"{timeframe} forecasts as of {as_of:%Y-%m-%d %H:%M} UTC"
    create_table_artifact(
        key=f"predict-batch-{timeframe}",
        table=summary_table(outcomes),
        description="\n\n".join(
            [heading, *([] if failure is None else [failure]), *remarks, *warning_lines(outcomes)]
        ),
    )
    return list(outcomes) if failure is None else Failed(message=failure)


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
    flow_of_timeframe = predict_hourly if args.timeframe == "1h" else predict_batch
    return 0 if run_once(flow_of_timeframe, **vars(args)).is_completed() else 1


if __name__ == "__main__":
    raise SystemExit(main())
