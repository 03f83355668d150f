"""Shortens windows whose last close would be clipped by the model's normalisation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from flows.forecasting.candles import CandleWindow
from market.normalise import CLIP
from market.types import Float64Array
from market.warning_codes import WarningCode, warning

FEWEST: Final = 128
"""Candles below which a window is not shortened: 12 of 21 real windows that needed fewer got worse by it."""


def shortened(windows: Mapping[str, CandleWindow], min_candles: int) -> dict[str, CandleWindow]:
    """Return the windows, without their oldest candles where that takes the clip off the last close.

    After a jump the last closes may lie beyond what the model can see, 5 standard deviations of the window,
    and the forecast then starts away from them (`market.normalise`). The longest window whose own
    spread holds its last close is taken, of at least `FEWEST` candles and as many as the server needs;
    where there is none the window stays whole. `benchmarks.clipped` measures what that is worth.

    Parameters
    ----------
    min_candles
        The fewest candles that the server forecasts from.
    """
    fewest = max(FEWEST, min_candles)
    return {symbol: _shortened(window, fewest) for symbol, window in windows.items()}


def _shortened(window: CandleWindow, fewest: int) -> CandleWindow:
    whole = len(window.timestamps)
    length = unclipped_length(window.columns["close"], fewest)
    if length is None or length == whole:
        return window
    text = warning(
        WarningCode.SHORTER_LOOKBACK,
        f"{length} of {whole} candles are used: among all of them the last close lies beyond {CLIP:g} "
        "standard deviations and would be clipped",
    )
    return replace(window.last(length), notes=(*window.notes, text))


def unclipped_length(closes: Float64Array, fewest: int) -> int | None:
    """Return the length of the longest end of a series whose last value is within ±5 of its deviations.

    Parameters
    ----------
    closes
        (T,), oldest first.
    fewest
        Lengths below it don't count; None is returned where no other one does.
    """
    length = np.arange(1, len(closes) + 1)
    back = (closes - closes[-1])[::-1]  # from the last value, so that the sums below keep their digits
    mean = np.cumsum(back) / length
    variance = np.maximum(np.cumsum(back**2) / length - mean**2, 0.0)
    fits = (mean**2 <= CLIP**2 * variance) & (length >= fewest)
    return int(length[fits][-1]) if fits.any() else None
