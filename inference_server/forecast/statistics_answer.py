"""The statistics that a request asks for beside the envelope: the checks, and the answer's part of them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference_server.errors import BeyondLimit, InvalidRequest
from inference_server.forecast.path_statistics import (
    beyond_paths,
    probability_above,
    probability_touched,
    quantiles,
    realised_volatility,
)
from inference_server.schemas import (
    ForecastSettings,
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

MAX_LEVELS = 99
"""Quantiles that a request may ask for: one for each per cent."""

MAX_PRICES = 100
"""Prices that `close_above` and `touch` may each hold."""

_CLOSE = FEATURES.index("close")
_PRICES = FEATURES[: _CLOSE + 1]


def wants_statistics(asked: PredictRequest) -> bool:
    """Return whether a request asks for any statistic."""
    return bool(asked.quantiles or asked.realised_volatility) or isinstance(
        asked.probabilities, ProbabilityRequest
    )


def statistics_values(asked: ForecastSettings) -> int:
    """Return how many numbers the statistics of one symbol hold for each future candle."""
    levels = len(asked.quantiles or ())
    values = len(_PRICES) * levels + (levels or len(LEVELS)) * bool(asked.realised_volatility)
    if isinstance(asked, PredictRequest) and isinstance(asked.probabilities, ProbabilityRequest):
        values += 1 + len(asked.probabilities.close_above) + len(asked.probabilities.touch)
    return values


def check_levels(asked: ForecastSettings) -> None:
    """Refuse quantile levels that are none, too many, repeated or outside 0 … 1.

    Raises
    ------
    InvalidRequest, BeyondLimit
        With the level, or how many there are.
    """
    if not isinstance(asked.quantiles, list):
        return
    if not asked.quantiles:
        raise InvalidRequest(
            "quantiles is empty: give a level, or leave the field out",
            given=[],
            expected="at least one level",
        )
    _check_count("quantiles", asked.quantiles, MAX_LEVELS)
    for level in asked.quantiles:
        if not 0 < level < 1:
            raise InvalidRequest(
                f"quantiles holds {level:g}; a level lies strictly between 0 and 1, such as 0.05",
                given=level,
                expected="levels above 0 and below 1",
            )
    _check_repeats("quantiles", asked.quantiles)


def check_prices(asked: PredictRequest, lowest: float) -> None:
    """Refuse prices of probabilities that are too many, repeated, or none that the instrument can have.

    Parameters
    ----------
    lowest
        What the price is always above; see `envelope.lowest_price`.

    Raises
    ------
    InvalidRequest, BeyondLimit
        With the field and the price, or how many there are.
    """
    if not isinstance(asked.probabilities, ProbabilityRequest):
        return
    for name in ("close_above", "touch"):
        prices, field = getattr(asked.probabilities, name), f"probabilities.{name}"
        _check_count(field, prices, MAX_PRICES)
        for price in prices:
            if not math.isfinite(price):
                raise InvalidRequest(f"{field} holds {price}", given=str(price), expected="finite prices")
            if price <= lowest:
                raise InvalidRequest(
                    f"{field} holds {price:g}, and every price of the history of {asked.symbol} is above "
                    f"{lowest:g}: give prices, not returns",
                    given=price,
                    expected=f"prices above {lowest:g}",
                )
        _check_repeats(field, prices)


def statistics_of(
    asked: PredictRequest, paths: NDArray[np.float64], last_close: float, lowest: float
) -> tuple[Statistics, list[str]]:
    """Return the statistics that a request asks for, and what a caller should know of them.

    Parameters
    ----------
    asked
        A request that `check_levels` and `check_prices` have let pass.
    paths
        (sample_count, pred_len, 6), finite, in the order of `FEATURES`.
    last_close
        Close of the last candle used.
    lowest
        The least that a quantile of a price can be; see `envelope.lowest_price`.
    """
    made = Statistics(paths=len(paths), calibrated=False, last_close=last_close)
    warnings: list[str] = []
    levels = asked.quantiles or []
    if levels:
        raw = quantiles(paths[:, :, : len(_PRICES)], levels)  # (levels, pred_len, 4)
        table = np.maximum(raw, lowest)
        made.quantiles = QuantileTable(
            levels=levels, **{name: table[:, :, i].tolist() for i, name in enumerate(_PRICES)}
        )
        warnings += _few_paths(levels, len(paths)) + _raised(raw, lowest)
    if isinstance(asked.probabilities, ProbabilityRequest):
        made.probabilities = _probabilities(asked.probabilities, paths, last_close)
    if asked.realised_volatility:
        made.realised_volatility, undefined = _volatility(paths[:, :, _CLOSE], last_close, levels or LEVELS)
        warnings += undefined
    return made, warnings


def _probabilities(asked: ProbabilityRequest, paths: NDArray[np.float64], last_close: float) -> Probabilities:
    closes = paths[:, :, _CLOSE]
    touched = probability_touched(paths[:, :, : len(_PRICES)], last_close, asked.touch)
    return Probabilities(
        up=probability_above(closes, [last_close])[0].tolist(),
        close_above=_by_price(asked.close_above, probability_above(closes, asked.close_above)),
        touch=_by_price(asked.touch, touched),
    )


def _by_price(prices: Sequence[float], shares: NDArray[np.float64]) -> list[PriceProbability]:
    return [
        PriceProbability(price=price, probability=row.tolist())
        for price, row in zip(prices, shares, strict=True)
    ]


def _volatility(
    closes: NDArray[np.float64], last_close: float, levels: Sequence[float]
) -> tuple[RealisedVolatility, list[str]]:
    """Return the quantiles of realised volatility up to the first step at which a path has none."""
    by_path = realised_volatility(closes, last_close)
    defined = int(np.isfinite(by_path).all(axis=0).sum())  # once a path has none it has none to the end
    values: list[list[float | None]] = [
        [*row, *[None] * (closes.shape[1] - defined)]
        for row in quantiles(by_path[:, :defined], levels).tolist()
    ]
    made = RealisedVolatility(levels=list(levels), values=values)
    if defined == closes.shape[1]:
        return made, []
    if last_close <= 0:
        cause = f"the last close is {last_close:g}"
    else:
        crossing = int(np.isnan(by_path[:, -1]).sum())
        paths = f"{crossing} of {len(closes)} paths"
        cause = f"{paths} have a close of zero or below, the first at step {defined + 1}"
    return made, [
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


def _check_count(field: str, values: Sequence[float], most: int) -> None:
    if len(values) > most:
        raise BeyondLimit(
            f"{field} holds {len(values)} values; expected at most {most}",
            given=len(values),
            expected=f"at most {most}",
        )


def _check_repeats(field: str, values: Sequence[float]) -> None:
    seen: set[float] = set()
    for value in values:
        if value in seen:
            raise InvalidRequest(
                f"{field} holds {value:g} twice: each has one place in the answer",
                given=value,
                expected="values that differ",
            )
        seen.add(value)
