"""Checks the settings of requests against the limits of the server and of its bundle.

Types and ranges that hold for every server are checked when a body is parsed (`http/bodies.py`), candles in
`windows.py`, event arrays in `event_arrays.py`.
"""

import math
from collections.abc import Sequence

from inference_server.errors import BeyondLimit, InvalidEvents, InvalidRequest
from inference_server.forecast.answer_size import answer_values, statistics_values
from inference_server.schemas import ForecastSettings, Limits, PredictRequest, ProbabilityRequest

MAX_LEVELS = 99
"""Quantiles that a request may ask for: one for each per cent."""

MAX_PRICES = 100
"""Prices that `close_above` and `touch` may each hold."""


def check_limits(settings: ForecastSettings, limits: Limits, max_context: int) -> None:
    """Check that the settings are within the ranges of this server and its bundle.

    Raises
    ------
    BeyondLimit
        With the field, its value and the range.
    """
    ranges = {
        "pred_len": (
            1,
            min(limits.max_pred_len, max_context),
            "KRONOS_MAX_PRED_LEN and the bundle's max_context",
        ),
        "sample_count": (1, limits.max_sample_count, "KRONOS_MAX_SAMPLE_COUNT"),
        "lookback": (limits.min_candles, limits.max_lookback, "KRONOS_MAX_LOOKBACK"),
        "context_stride": (1, max_context - 1, "the bundle's max_context"),
    }
    for field, (low, high, source) in ranges.items():
        value = getattr(settings, field)
        if not low <= value <= high:
            raise BeyondLimit(
                f"{field} is {value}; expected {low} … {high}",
                given=value,
                expected=f"{low} … {high} (limited by {source})",
            )


def check_levels(settings: ForecastSettings) -> None:
    """Check that quantile levels are not too many, not repeated and strictly between 0 and 1.

    Raises
    ------
    InvalidRequest, BeyondLimit
        With the level, or their number.
    """
    if not isinstance(settings.quantiles, list):
        return
    if not settings.quantiles:
        raise InvalidRequest(
            "quantiles is empty: give a level, or leave the field out",
            given=[],
            expected="at least one level",
        )
    _check_count("quantiles", settings.quantiles, MAX_LEVELS)
    for level in settings.quantiles:
        if not 0 < level < 1:
            raise InvalidRequest(
                f"quantiles holds {level:g}; a level lies strictly between 0 and 1, such as 0.05",
                given=level,
                expected="levels above 0 and below 1",
            )
    _check_repeats("quantiles", settings.quantiles)


def check_prices(request: PredictRequest, lowest: float) -> None:
    """Check that prices of probabilities are not too many, not repeated and possible for the instrument.

    Parameters
    ----------
    lowest
        Exclusive lower bound of the price; see `envelope.lowest_price`.

    Raises
    ------
    InvalidRequest, BeyondLimit
        With the field and the price, or their number.
    """
    if not isinstance(request.probabilities, ProbabilityRequest):
        return
    for name in ("close_above", "touch"):
        prices, field = getattr(request.probabilities, name), f"probabilities.{name}"
        _check_count(field, prices, MAX_PRICES)
        for price in prices:
            if not math.isfinite(price):
                raise InvalidRequest(f"{field} holds {price}", given=str(price), expected="finite prices")
            if price <= lowest:
                raise InvalidRequest(
                    f"{field} holds {price:g}, and every price of the history of {request.symbol} is above "
                    f"{lowest:g}: give prices, not returns",
                    given=price,
                    expected=f"prices above {lowest:g}",
                )
        _check_repeats(field, prices)


def check_event_schema(settings: ForecastSettings, bundle_schema: int | None) -> None:
    """Check that events were built for the bundle's version of the channels; None is an unknown version.

    Raises
    ------
    InvalidEvents
        If both versions are known and differ.
    """
    if (
        settings.event_schema is not None
        and bundle_schema is not None
        and settings.event_schema != bundle_schema
    ):
        raise InvalidEvents(
            f"events were built for schema version {settings.event_schema} and this bundle reads version "
            f"{bundle_schema}: build them again, or request the forecast without events",
            given=settings.event_schema,
            expected=bundle_schema,
        )


def check_answer_size(settings: ForecastSettings, symbols: int, limits: Limits) -> None:
    """Check that the answer will not hold more numbers than one answer may.

    Raises
    ------
    BeyondLimit
        With the numbers that it would hold, the limit, and how to reduce them.
    """
    values, largest = answer_values(settings, symbols), limits.max_answer_values
    if largest is None or values <= largest:
        return
    ways = ["a shorter horizon (pred_len)"]
    if settings.return_samples:
        ways.insert(0, "fewer paths (sample_count)")
        ways.append("no samples")
    if settings.return_samples == "full":
        ways.insert(-1, 'the close of every path alone (return_samples true instead of "full")')
    if statistics_values(settings):
        ways.append("fewer quantiles and prices")
    if symbols > 1:
        ways.append("fewer symbols, in several requests")
    raise BeyondLimit(
        f"the answer would hold {values} numbers: {symbols} symbol{'s' * (symbols > 1)} × "
        f"{settings.pred_len} candles × {values // symbols // settings.pred_len} for each; "
        f"expected at most {largest}. Ask for {', '.join(ways[:-1])}{' or ' * (len(ways) > 1)}{ways[-1]}",
        given=values,
        expected=f"at most {largest} (KRONOS_MAX_ANSWER_VALUES)",
    )


def _check_count(field: str, values: Sequence[float], largest: int) -> None:
    if len(values) > largest:
        raise BeyondLimit(
            f"{field} holds {len(values)} values; expected at most {largest}",
            given=len(values),
            expected=f"at most {largest}",
        )


def _check_repeats(field: str, values: Sequence[float]) -> None:
    seen: set[float] = set()
    for value in values:
        if value in seen:
            raise InvalidRequest(
                f"{field} holds {value:g} twice; give each value once",
                given=value,
                expected="values that differ",
            )
        seen.add(value)
