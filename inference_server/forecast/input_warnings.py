"""Returns warnings about the inputs of a forecast: sampling, scale, clipping, clock, timeframe, context."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from inference_server.engine.bundle import INSTRUMENTS_CLOCK
from inference_server.engine.shared_prefix import is_exact
from inference_server.schemas import ForecastSettings
from market.candles import FEATURES
from market.envelope import LEVELS
from market.instruments import Instrument
from market.normalise import (
    CLIP,
    EPSILON,
    SMALLEST_SPREAD,
    normalise,
    scale_exponents,
    smallest_spread,
)
from market.time_features import known_time_zones, time_features
from market.types import DatetimeArray
from market.warning_codes import WarningCode, warning

FEWEST_PATHS = 9
"""Sample paths that p10 and p90 need; of fewer they are the lowest and the highest path."""

FEWEST_OF_TIMEFRAME = 0.1
"""Share of the candles of a training below which a model hardly knows a timeframe."""

_CLOSE = FEATURES.index("close")
_PRICES = _CLOSE + 1


def sampling_warnings(settings: ForecastSettings) -> list[str]:
    """Return warnings about an envelope of few paths, or of paths with cut tails."""
    warnings = []
    paths = settings.sample_count
    if paths == 1:
        warnings.append(
            warning(
                WarningCode.FEW_PATHS,
                "one sample path has no envelope: p10, p50 and p90 are all its close, which says nothing of "
                f"how certain it is; ask for a sample_count of {FEWEST_PATHS} or more",
            )
        )
    elif paths < FEWEST_PATHS:
        # A new value falls between the lowest and the highest of n like it with (n - 1) / (n + 1).
        covered = (paths - 1) / (paths + 1)
        warnings.append(
            warning(
                WarningCode.FEW_PATHS,
                f"p10 and p90 of {paths} sample paths are the lowest and the highest: at best they hold "
                f"{covered:.0%} of what comes instead of {LEVELS[-1] - LEVELS[0]:.0%}; ask for a "
                f"sample_count of {FEWEST_PATHS} or more",
            )
        )
    cut = (
        f"top_k {settings.top_k}"
        if settings.top_k
        else f"top_p {settings.top_p:g}"
        if settings.top_p < 1
        else None
    )
    if cut is not None:
        warnings.append(
            warning(
                WarningCode.CUT_TAILS,
                f"{cut} cuts the tails of every step, which narrows the envelope; top_k 0 and top_p 1.0 "
                "keep them",
            )
        )
    return warnings


def scale_warnings(candles: NDArray[np.floating], upstream_scale: bool) -> list[str]:
    """Return a warning if the prices of a window (T, 6) are scaled for the model."""
    exponent = 0 if upstream_scale else int(scale_exponents(candles)[0])
    if exponent == 0:
        return []
    spread = smallest_spread(candles[:, :_PRICES])
    reason = f"their smallest standard deviation is {spread:.1e}" if spread else "they never move"
    return [
        warning(
            WarningCode.PRICES_SCALED,
            f"prices were multiplied by 2^{exponent} for the model and divided again, since {reason}: "
            f"below {SMALLEST_SPREAD:g} the constant {EPSILON:g} of upstream's normalisation drowns it; "
            "upstream_scale true turns this off",
        )
    ]


def clip_warnings(candles: NDArray[np.floating], upstream_scale: bool) -> list[str]:
    """Return a warning if the last closes of a window (T, 6) are clipped."""
    scale = normalise(candles, upstream_scale=upstream_scale)
    count = clipped_at_the_end(scale.values[:, _CLOSE])
    if count == 0:
        return []
    seen = float(scale.restore(scale.values[-1:])[0, _CLOSE])
    last = float(candles[-1, _CLOSE])
    which = "the last candle" if count == 1 else f"the last {count} candles"
    return [
        warning(
            WarningCode.CLIPPED_CANDLES,
            f"the close of {which} of {len(candles)} lies beyond {CLIP:g} standard deviations of the window "
            f"and is clipped: the model sees {seen:.6g} instead of {last:.6g}, so the forecast starts away "
            "from the last close; a shorter lookback may take it in",
        )
    ]


def sliding_warnings(lookback_used: int, pred_len: int, max_context: int, context_stride: int) -> list[str]:
    """Return a warning if the context slides at every step."""
    if context_stride > 1 or is_exact(lookback_used, pred_len, max_context):
        return []
    return [
        warning(
            WarningCode.SLIDING_CONTEXT,
            f"{lookback_used} candles and pred_len {pred_len} do not fit the context of {max_context}: with "
            "context_stride 1 every further step runs the whole window again, which takes long; "
            f"a lookback of at most {max(max_context - pred_len, 0)} or a larger context_stride "
            "avoids it",
        )
    ]


def clipped_at_the_end(values: NDArray[np.floating]) -> int:
    """Return how many consecutive normalised values (T,) at the end are clipped."""
    inside = np.flatnonzero(np.abs(values) < CLIP)
    return len(values) - (int(inside[-1]) + 1 if inside.size else 0)


def clock_warnings(
    trained: str | None,
    used: str,
    instrument: Instrument | None,
    timestamps: DatetimeArray,
    requested: str | None = None,
) -> list[str]:
    """Return a warning if a forecast does not use the clock of its checkpoint, or of its instrument.

    Parameters
    ----------
    trained
        The manifest's `model_clock`; None where it is unknown.
    used
        IANA name of the zone that the five time fields of the forecast are read in.
    instrument
        Of the symbol, from the database if it was read before; None if it is not registered.
    timestamps
        (T,) datetime64 in UTC; clocks with equal fields at all of them count as the same.
    requested
        The `time_zone` of the request, or None. A request without it that needs no database does not get
        the clock of the table, so that its answer does not depend on the database.
    """
    own = "UTC" if instrument is None else instrument.model_time_zone
    expected = own if trained == INSTRUMENTS_CLOCK else trained
    if expected is None or _same_clock(expected, used, timestamps):
        if requested is not None or _same_clock(own, used, timestamps):
            return []
        return [
            warning(
                WarningCode.MODEL_CLOCK,
                f"the model's time fields are read in {used}, and the table instruments says {own}: ask with "
                f"time_zone {own} (or {used}, if that is meant)",
            )
        ]
    return [
        warning(
            WarningCode.MODEL_CLOCK,
            f"the model's time fields are read in {used}, and this checkpoint was trained with {expected}: "
            f"ask with time_zone {expected}, or set the instrument's model_time_zone",
        )
    ]


def timeframe_warnings(trained: Mapping[str, int] | None, timeframe: str) -> list[str]:
    """Return a warning if few or none of the candles that a model was trained on are of the timeframe.

    Parameters
    ----------
    trained
        The manifest's `training_timeframes`; None where they are unknown.
    """
    if trained is None or trained.get(timeframe, 0) >= FEWEST_OF_TIMEFRAME * sum(trained.values()):
        return []
    share = trained.get(timeframe, 0) / sum(trained.values())
    extent = f"only {share:.1%} of the" if share else "none of the"
    used = ", ".join(
        name for name, count in trained.items() if count >= FEWEST_OF_TIMEFRAME * sum(trained.values())
    )
    return [
        warning(
            WarningCode.UNTRAINED_TIMEFRAME,
            f"{extent} candles that this model was trained on are of {timeframe}, most are of {used}: the "
            f"width of the envelope is uncertain; forecast {used}, or train on {timeframe}",
        )
    ]


def _same_clock(zone: str, other: str, timestamps: DatetimeArray) -> bool:
    """Return whether two zones have the same fields at all timestamps; an unknown zone equals only itself."""
    if zone == other or not {zone, other} <= known_time_zones():
        return zone == other
    return np.array_equal(time_features(timestamps, zone), time_features(timestamps, other))
