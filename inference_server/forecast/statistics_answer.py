"""Builds the `statistics` of an answer: quantiles, probabilities and realised volatility."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference_server.forecast.path_statistics import (
    beyond_paths,
    probability_above,
    probability_touched,
    quantiles,
    realised_volatility,
)
from inference_server.schemas import (
    PredictRequest,
    PriceProbability,
    Probabilities,
    ProbabilityRequest,
    QuantileTable,
    RealisedVolatility,
    Statistics,
)
from market.candles import FEATURES
from market.envelope import LEVELS
from market.warning_codes import WarningCode, warning

_CLOSE = FEATURES.index("close")
_PRICES = FEATURES[: _CLOSE + 1]


def wants_statistics(request: PredictRequest) -> bool:
    """Return whether a request selects any statistic."""
    return bool(request.quantiles or request.realised_volatility) or isinstance(
        request.probabilities, ProbabilityRequest
    )


def statistics_of(
    request: PredictRequest, paths: NDArray[np.float64], last_close: float, lowest: float
) -> tuple[Statistics, list[str]]:
    """Return the statistics that a request selects, and warnings about them.

    Parameters
    ----------
    request
        A request that has passed `validation.check_levels` and `check_prices`.
    paths
        (sample_count, pred_len, 6), finite, in the order of `FEATURES`.
    last_close
        Close of the last candle used.
    lowest
        Lower bound of a quantile of a price; see `envelope.lowest_price`.
    """
    statistics = Statistics(paths=len(paths), calibrated=False, last_close=last_close)
    warnings: list[str] = []
    levels = request.quantiles or []
    if levels:
        raw = quantiles(paths[:, :, : len(_PRICES)], levels)  # (levels, pred_len, 4)
        table = np.maximum(raw, lowest)
        statistics.quantiles = QuantileTable(
            levels=levels, **{name: table[:, :, i].tolist() for i, name in enumerate(_PRICES)}
        )
        warnings += _few_paths(levels, len(paths)) + _raised(raw, lowest)
    if isinstance(request.probabilities, ProbabilityRequest):
        statistics.probabilities = _probabilities(request.probabilities, paths, last_close)
    if request.realised_volatility:
        statistics.realised_volatility, undefined = _volatility(
            paths[:, :, _CLOSE], last_close, levels or LEVELS
        )
        warnings += undefined
    return statistics, warnings


def _probabilities(
    request: ProbabilityRequest, paths: NDArray[np.float64], last_close: float
) -> Probabilities:
    closes = paths[:, :, _CLOSE]
    touched = probability_touched(paths[:, :, : len(_PRICES)], last_close, request.touch)
    return Probabilities(
        up=probability_above(closes, [last_close])[0].tolist(),
        close_above=_by_price(request.close_above, probability_above(closes, request.close_above)),
        touch=_by_price(request.touch, touched),
    )


def _by_price(prices: Sequence[float], shares: NDArray[np.float64]) -> list[PriceProbability]:
    """Return the shares (prices, pred_len) as one entry for each price."""
    return [
        PriceProbability(price=price, probability=row.tolist())
        for price, row in zip(prices, shares, strict=True)
    ]


def _volatility(
    closes: NDArray[np.float64], last_close: float, levels: Sequence[float]
) -> tuple[RealisedVolatility, list[str]]:
    """Return the quantiles of realised volatility and warnings; null from the first step at which a path has
    none."""
    by_path = realised_volatility(closes, last_close)
    defined = int(np.isfinite(by_path).all(axis=0).sum())  # undefined for all later steps too
    values: list[list[float | None]] = [
        [*row, *[None] * (closes.shape[1] - defined)]
        for row in quantiles(by_path[:, :defined], levels).tolist()
    ]
    volatility = RealisedVolatility(levels=list(levels), values=values)
    if defined == closes.shape[1]:
        return volatility, []
    if last_close <= 0:
        cause = f"the last close is {last_close:g}"
    else:
        crossing = int(np.isnan(by_path[:, -1]).sum())
        paths = f"{crossing} of {len(closes)} paths"
        cause = f"{paths} have a close of zero or below, the first at step {defined + 1}"
    return volatility, [
        warning(
            WarningCode.STATISTICS_UNDEFINED,
            f"{cause}, which has no log return: realised volatility is null from there on",
        )
    ]


def _few_paths(levels: Sequence[float], paths: int) -> list[str]:
    beyond = beyond_paths(levels, paths)
    if not beyond:
        return []
    return [
        warning(
            WarningCode.QUANTILES_BEYOND_PATHS,
            f"{paths} sample paths tell levels from {1 / (paths + 1):.3g} to {paths / (paths + 1):.3g}: the "
            f"quantiles {', '.join(f'{level:g}' for level in beyond)} are the lowest or the highest path; a "
            "level q or 1 - q takes a sample_count of 1 / q - 1",
        )
    ]


def _raised(raw: NDArray[np.float64], lowest: float) -> list[str]:
    raised = np.flatnonzero((raw < lowest).any(axis=(0, 2))).size
    if not raised:
        return []
    return [
        warning(
            WarningCode.ENVELOPE_FLOOR,
            f"requested quantiles of {raised} of {raw.shape[1]} steps were below zero and are given as 0, as "
            "no price of the history is zero or below; probabilities count the paths as they are",
        )
    ]
