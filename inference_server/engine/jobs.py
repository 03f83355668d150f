"""A forecast job: the history to continue, and how."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.types import DatetimeArray, Float32Array


@dataclass(frozen=True)
class ForecastJob:
    """One history to continue.

    Attributes
    ----------
    candles
        (T, 6): open, high, low, close, volume, amount in raw units, oldest first.
    timestamps, future_timestamps
        (T,) and (pred_len,), datetime64 in UTC.
    seed
        0 … 2^63 - 1; with the path's index it determines every draw.
    context_stride
        Tokens dropped at once when the context is full; 1 is upstream token for token.
    events
        (T, 20), where nothing is known of the prediction window, or (T + pred_len, 20); None for a
        forecast by the base model.
    time_zone
        IANA name of the model's clock: the wall clock that the five time fields are read from.
    upstream_scale
        Normalise as upstream does where prices hardly spread; see `market.normalise`.
    """

    candles: NDArray[np.floating]
    timestamps: DatetimeArray
    future_timestamps: DatetimeArray
    sample_count: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.9
    seed: int = 0
    context_stride: int = 1
    events: Float32Array | None = None
    time_zone: str = "UTC"
    upstream_scale: bool = False

    @property
    def pred_len(self) -> int:
        """Candles to generate."""
        return len(self.future_timestamps)
