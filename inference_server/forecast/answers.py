"""Builds an answer from sample paths: repair, envelope, mean path, samples and statistics."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference_server.engine.jobs import ForecastJob
from inference_server.forecast.statistics_answer import statistics_of, wants_statistics
from inference_server.schemas import FeatureColumns, ModelName, PredictAnswer, PredictRequest
from market.candles import FEATURES
from market.envelope import Envelope, envelope, lowest_price, with_floor
from market.times import awares
from market.types import Float32Array, Float64Array
from market.warning_codes import WarningCode, warning

CLOSE = FEATURES.index("close")


def predict_answer(
    request: PredictRequest,
    job: ForecastJob,
    paths: Float32Array,
    model: ModelName,
    warnings: Sequence[str],
    *,
    allow_nonpositive: bool = False,
) -> PredictAnswer:
    """Return the answer to a request from the paths that the engine generated for it.

    Its `samples` are an array; the JSON of an answer has nested lists instead (`http/answer_json.py`).

    Parameters
    ----------
    paths
        (sample_count, pred_len, 6), raw units, in the order of `FEATURES`.
    allow_nonpositive
        Whether the instrument's price can be zero or below.

    Raises
    ------
    ArithmeticError
        If the model made a value that is not finite.
    """
    if not np.isfinite(paths).all():
        raise ArithmeticError(f"the model made values that are not finite for {request.symbol}")
    futures = paths.astype(np.float64)
    if request.repair:
        futures = repaired(futures)
    raw = envelope(futures[:, :, CLOSE])
    lowest = lowest_price(job.candles[:, : CLOSE + 1], allow_nonpositive=allow_nonpositive)
    levels = with_floor(raw, lowest)
    mean = futures.mean(axis=0)
    answer = PredictAnswer(
        symbol=request.symbol,
        timeframe=request.timeframe,
        as_of=awares(job.timestamps[-1:])[0],
        timestamps=awares(job.future_timestamps),
        p10=levels.p10.tolist(),
        p50=levels.p50.tolist(),
        p90=levels.p90.tolist(),
        mean=FeatureColumns(**{name: mean[:, i].tolist() for i, name in enumerate(FEATURES)}),
        samples=_samples(futures, request.return_samples),
        seed=job.seed,
        sample_count=job.sample_count,
        lookback_used=len(job.timestamps),
        model=model,
        events_used=job.events is not None,
        warnings=[*warnings, *floor_warnings(raw, levels)],
    )
    if wants_statistics(request):
        answer.statistics, warnings_of_statistics = statistics_of(
            request, futures, float(job.candles[-1, CLOSE]), lowest
        )
        answer.warnings += warnings_of_statistics
    return answer


def repaired(paths: Float64Array) -> Float64Array:
    """Return paths in which every candle satisfies low ≤ open, close ≤ high and volume, amount ≥ 0.

    Open and close are unchanged; high and low become the highest and the lowest of the four prices.

    Parameters
    ----------
    paths
        (sample_count, pred_len, 6) in the order of `FEATURES`.
    """
    fixed = paths.copy()
    prices = paths[:, :, : CLOSE + 1]
    fixed[:, :, FEATURES.index("high")] = prices.max(axis=2)
    fixed[:, :, FEATURES.index("low")] = prices.min(axis=2)
    volume = FEATURES.index("volume")
    fixed[:, :, volume:] = np.maximum(paths[:, :, volume:], 0.0)
    return fixed


def floor_warnings(raw: Envelope, levels: Envelope) -> list[str]:
    """Return a warning if quantiles were raised to the lowest possible price."""
    raised = np.any(np.stack(raw) < np.stack(levels), axis=0)
    if not raised.any():
        return []
    return [
        warning(
            WarningCode.ENVELOPE_FLOOR,
            f"quantiles of {int(raised.sum())} of {len(raised)} steps were below zero and are given as 0, as "
            "no price of the history is zero or below; sample paths and mean are left as the model made them",
        )
    ]


def _samples(paths: Float64Array, return_samples: bool | str) -> Any:
    if return_samples == "full":
        return paths
    # A copy, so that the memory of the other five features is freed.
    return paths[:, :, CLOSE].copy() if return_samples else None
