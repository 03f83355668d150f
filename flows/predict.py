"""The flow predict-batch: forecasts of many symbols from stored candles, with events, stored as envelopes.

``python -m flows.predict --timeframe 1h`` runs it once in this process, with or without a Prefect server.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, get_args

from prefect import State, flow
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.settings import temporary_settings
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.forecasting.blocks import Run, forecast_all
from flows.forecasting.candles import as_utc
from flows.forecasting.forecasts import Sampling
from flows.forecasting.path_statistics import WantedStatistics
from flows.forecasting.run_summary import (
    Outcome,
    failure_message,
    notices,
    outcome_line,
    summary_table,
    warning_lines,
)
from flows.forecasting.tasks import (
    read_model,
)
from flows.runtime.arguments import names_in
from flows.runtime.settings import WORKERS, FlowSettings, local_prefect_defaults
from flows.runtime.time_limits import DAILY_RUN_S, HOURLY_RUN_S
from inference_server.client import ClientError
from market.timeframes import Timeframe

MODELS_PER_RUN: Final = 3
"""Models that a run follows the server to, before it says that the server does not stay with one."""

_RESTLESS: Final = (
    f"the server changed its model {MODELS_PER_RUN} times during the run, or several servers with different "
    "models answer at one address; run again when it is settled"
)


@flow(
    name="predict-batch",
    timeout_seconds=DAILY_RUN_S,
    task_runner=ThreadPoolTaskRunner(max_workers=WORKERS),  # type: ignore[arg-type]  # Prefect's own does not fit
)
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
) -> list[Outcome] | State[Any]:
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
        Past candles; None for as many as the model takes without sliding its context, at most 512. Fewer are
        used where the last close would be clipped otherwise; see `FlowSettings.shorter_lookback`.
    as_of
        Only candles closed by then are used; naive means UTC, None means now.
    with_events
        Whether the forecasts see the economic calendar.
    seed
        Of every symbol; None for a hash of symbol, timeframe, last candle and model version each.
    store_samples
        Whether the close of every sample path is stored too, for the CRPS; the flow score-forecasts deletes
        them a while after they were scored. Four bytes × sample_count × pred_len a forecast.
    stale_after
        A symbol is skipped as stale when more candles of its calendar than these have closed since its newest
        one; None for 24 hourly or 5 daily ones, the longest hole that a window may have.
    force
        Make every forecast, also those whose row is there already from the same candles, events, settings and
        model.
    quantiles, moves, realised_volatility
        What the rows hold of the sample paths beside the envelope, in the column `statistics`: quantiles of
        open, high, low and close; P(up) and the probabilities of the prices that are so far from each last
        close (0.02: two per cent up; empty: P(up) alone); quantiles of realised volatility. See
        docs/statistics.md.

    Returns
    -------
    list of Outcome or State
        One per symbol, or a failed state that names the symbols that failed; the others are stored.
    """
    try:
        FlowSettings.from_env()
    except ValueError as error:
        return Failed(message=str(error))
    sampling = Sampling(timeframe, pred_len, sample_count, top_p, temperature, top_k, seed)
    statistics = WantedStatistics(
        tuple(quantiles or ()), None if moves is None else tuple(moves), realised_volatility
    )
    run = Run(sampling, as_utc(as_of), lookback, with_events, store_samples, stale_after, force, statistics)
    outcomes: list[Outcome] = []
    asked = symbols
    for _ in range(MODELS_PER_RUN):
        try:
            model = read_model()
        except ClientError as error:
            hint = "start it with python -m inference_server, or set KRONOS_SERVER to where it is"
            failure = f"the inference server says nothing of its model: {error}; {hint}"
            if asked is symbols:
                return Failed(message=failure)
            outcomes += [Outcome(symbol, error=failure) for symbol in asked or ()]
            break
        made, asked = forecast_all(model, run, asked)
        outcomes += made
        if not asked:
            break
        get_run_logger().warning(
            "the server went on to another model than %s %s during the run: %s are forecast anew, with its "
            "limits, seeds and calibration",
            model.name,
            model.version,
            ", ".join(asked),
        )
    else:
        outcomes += [Outcome(symbol, error=_RESTLESS) for symbol in asked or ()]
    return conclude(sorted(outcomes, key=lambda outcome: outcome.symbol), timeframe, run.as_of)


predict_hourly = predict_batch.with_options(timeout_seconds=HOURLY_RUN_S)
"""The same flow for a schedule that runs it every hour."""


def conclude(
    outcomes: Sequence[Outcome], timeframe: Timeframe, as_of: datetime
) -> list[Outcome] | State[Any]:
    """Publish the summary of a run; the run fails where a symbol did, and names it."""
    logger = get_run_logger()
    failure = failure_message(outcomes)
    for outcome in outcomes:
        if outcome.skipped is not None or outcome.stale is not None:
            logger.info(outcome_line(outcome))
    remarks = notices(outcomes)
    for remark in remarks:
        logger.warning(remark)
    heading = f"{timeframe} forecasts as of {as_of:%Y-%m-%d %H:%M} UTC"
    create_table_artifact(
        key=f"predict-batch-{timeframe}",
        table=summary_table(outcomes),
        description="\n\n".join(
            [heading, *([] if failure is None else [failure]), *remarks, *warning_lines(outcomes)]
        ),
    )
    return list(outcomes) if failure is None else Failed(message=failure)


def run_once(**parameters: Any) -> State[Any]:
    """Run the flow in this process, with a temporary Prefect server where the user has none."""
    with temporary_settings(set_defaults=local_prefect_defaults()):
        flow_of_timeframe = predict_hourly if parameters.get("timeframe") == "1h" else predict_batch
        return flow_of_timeframe(**parameters, return_state=True)


def main() -> int:
    """Run the flow once; the exit status is 1 where it failed."""
    parser = argparse.ArgumentParser(prog="python -m flows.predict", description=__doc__)
    parser.add_argument("--timeframe", choices=get_args(Timeframe), default="1d")
    parser.add_argument("--symbols", help="A,B; the active instruments unless given")
    parser.add_argument(
        "--as-of", type=datetime.fromisoformat, help="ISO 8601, UTC unless it has a zone; now unless given"
    )
    parser.add_argument(
        "--stale-after",
        type=int,
        help="closed candles that may be missing at the end before a symbol is skipped (24 hourly, 5 daily)",
    )
    parser.add_argument(
        "--force", action="store_true", help="make forecasts again that are stored already from the same data"
    )
    given = parser.parse_args()
    symbols = names_in(given.symbols) if given.symbols else None
    state = run_once(
        timeframe=given.timeframe,
        symbols=symbols,
        as_of=given.as_of,
        stale_after=given.stale_after,
        force=given.force,
    )
    return 0 if state.is_completed() else 1


if __name__ == "__main__":
    raise SystemExit(main())
