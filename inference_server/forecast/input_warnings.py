"""What a caller should know of the inputs of a forecast: sampling, scale, clipping and the model's clock."""

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
"""Sample paths from which p10 and p90 are quantiles: of fewer they are the lowest and the highest path."""

_CLOSE = FEATURES.index("close")
_PRICES = _CLOSE + 1


def sampling_warnings(asked: ForecastSettings) -> list[str]:
    """Return what the number of paths and cut tails do to the envelope."""
    found = []
    paths = asked.sample_count
    if paths == 1:
        found.append(
            warning(
                WarningCode.FEW_PATHS,
                "one sample path has no envelope: p10, p50 and p90 are all its close, which says nothing of "
                f"how certain it is; ask for a sample_count of {FEWEST_PATHS} or more",
            )
        )
    elif paths < FEWEST_PATHS:
        # A new value falls between the lowest and the highest of n like it with (n - 1) / (n + 1).
        covered = (paths - 1) / (paths + 1)
        found.append(
            warning(
                WarningCode.FEW_PATHS,
                f"p10 and p90 of {paths} sample paths are the lowest and the highest: at best they hold "
                f"{covered:.0%} of what comes instead of {LEVELS[-1] - LEVELS[0]:.0%}; ask for a "
                f"sample_count of {FEWEST_PATHS} or more",
            )
        )
    cut = f"top_k {asked.top_k}" if asked.top_k else f"top_p {asked.top_p:g}" if asked.top_p < 1 else None
    if cut is not None:
        found.append(
            warning(
                WarningCode.CUT_TAILS,
                f"{cut} cuts the tails of every step, which narrows the envelope; top_k 0 and top_p 1.0 "
                "keep them",
            )
        )
    return found


def scale_warnings(candles: NDArray[np.floating], upstream_scale: bool) -> list[str]:
    """Return that the prices of a window (T, 6) are scaled for the model, where they are."""
    exponent = 0 if upstream_scale else int(scale_exponents(candles)[0])
    if exponent == 0:
        return []
    spread = smallest_spread(candles[:, :_PRICES])
    found = f"their smallest standard deviation is {spread:.1e}" if spread else "they never move"
    return [
        warning(
            WarningCode.PRICES_SCALED,
            f"prices were multiplied by 2^{exponent} for the model and divided again, since {found}: "
            f"below {SMALLEST_SPREAD:g} the constant {EPSILON:g} of upstream's normalisation drowns it; "
            "upstream_scale true turns this off",
        )
    ]


def clip_warnings(candles: NDArray[np.floating], upstream_scale: bool) -> list[str]:
    """Return that the last closes of a window (T, 6) lie where the model can't see them, where they do."""
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
            "context_stride 1 every further step runs the whole window again, as slowly as upstream's "
            f"predictor; a lookback of at most {max(max_context - pred_len, 0)} or a larger context_stride "
            "avoids it",
        )
    ]


def clipped_at_the_end(values: NDArray[np.floating]) -> int:
    """Return how many of the last normalised values (T,) are clipped, without a break up to the end."""
    inside = np.flatnonzero(np.abs(values) < CLIP)
    return len(values) - (int(inside[-1]) + 1 if inside.size else 0)


def clock_warnings(
    trained: str | None,
    used: str,
    instrument: Instrument | None,
    timestamps: DatetimeArray,
    asked: str | None = None,
) -> list[str]:
    """Return that a forecast uses another clock than its checkpoint's, or than its instrument's unasked.

    Parameters
    ----------
    trained
        The manifest's `model_clock`; None where nobody knows.
    used
        IANA name of the zone that the five time fields of the forecast are read in.
    instrument
        Of the symbol, from the database where it is at hand; None where nobody registered it.
    timestamps
        (T,) datetime64 in UTC; clocks that show the same at all of them are one.
    asked
        The zone that the request asks for. A request that asks for none and brings all it needs is
        not given the clock of the database, so that its answer does not hang on one.
    """
    own = "UTC" if instrument is None else instrument.model_time_zone
    expected = own if trained == INSTRUMENTS_CLOCK else trained
    if expected is None or _one_clock(expected, used, timestamps):
        if asked is not None or _one_clock(own, used, timestamps):
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


def _one_clock(one: str, other: str, timestamps: DatetimeArray) -> bool:
    """Whether two zones show the same fields at all of the timestamps; one that nobody knows is another."""
    if one == other or not {one, other} <= known_time_zones():
        return one == other
    return np.array_equal(time_features(timestamps, one), time_features(timestamps, other))
