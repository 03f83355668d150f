"""Draws batches of windows from stretches, each normalised by its history alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from market.event_channels import FLAGS, KNOWLEDGE_CHANNELS, align_events
from market.normalise import CLIP, PRICES, normalise
from market.time_features import time_features
from market.types import BoolArray, Float32Array, Float64Array, Int64Array
from training.data.stretches import Stretch, TrainingError

HISTORY: Final = (0.25, 0.875)
"""Bounds between which the share of a window that is history is drawn evenly."""

# A window is mirrored by these signs of its features, and by exchanging high and low.
_MIRROR_SIGN: Final = np.array([-1, -1, -1, -1, 1, 1], np.float32)
_MIRROR_ORDER: Final = [0, 2, 1, 3, 4, 5]

_EVENNESS: Final = 0.3  # exponent of the number of windows of a timeframe


@dataclass(frozen=True)
class Batch:
    """B windows of L candles.

    Attributes
    ----------
    values : (B, L, 6) float32
        Normalised by mean and spread of the history; clipped to ±5, prices after it to the tokenizer's limit.
    stamp : (B, L, 5) int64
    cut : (B,) int64
        Length of the history; candles from there on are the future.
    events : (B, L, 20) float32 or None
        By token (alignment "next"); the last row has no schedule, since no candle follows it.
    event_steps : (B, L) bool or None
        Candles in which a release or decision falls.
    """

    values: Tensor
    stamp: Tensor
    cut: Tensor
    events: Tensor | None
    event_steps: Tensor | None

    @property
    def future(self) -> Tensor:
        """(B, L - 1) bool: whether the candle that each token but the last predicts lies in the future."""
        return torch.arange(1, self.values.shape[1], device=self.cut.device)[None] >= self.cut[:, None]

    def to(self, device: str) -> "Batch":
        """Return the batch on a device."""
        return Batch(
            self.values.to(device),
            self.stamp.to(device),
            self.cut.to(device),
            None if self.events is None else self.events.to(device),
            None if self.event_steps is None else self.event_steps.to(device),
        )


@dataclass(frozen=True)
class Sampler:
    """Draws windows of `length` candles; the same step draws the same windows.

    Attributes
    ----------
    stretches
        Those shorter than `length` candles are not used. A timeframe of n windows is drawn with a probability
        proportional to n^0.3, so that hourly candles do not crowd out the daily ones (the exponent that
        Conneau et al. 2020, "Unsupervised Cross-lingual Representation Learning at Scale", choose for
        languages); its windows are equally likely.
    mirror
        Mirror half of the windows: negate prices, and exchange high and low.
    price_limit
        As in `cut_window`.
    """

    stretches: Sequence[Stretch]
    length: int
    rows: int
    seed: int
    mirror: bool = False
    price_limit: float = CLIP

    def __post_init__(self) -> None:
        if not self._starts().sum():
            longest = max((len(stretch) for stretch in self.stretches), default=0)
            raise TrainingError(
                f"no stretch holds a window of {self.length} candles, the longest has {longest}; give more "
                "candles, or a smaller --window"
            )

    def batch(self, step: int) -> Batch:
        """Return the windows of one training step."""
        return self._draw(np.random.default_rng([self.seed, step]), self.mirror)

    def fixed(self, batches: int) -> list[Batch]:
        """Return batches for validation, which depend on the seed alone and are never mirrored."""
        return [self._draw(np.random.default_rng([self.seed, 1 << 40, i]), False) for i in range(batches)]

    def _starts(self) -> Int64Array:
        """Return how many windows begin in each stretch, (stretches,)."""
        return np.array([max(0, len(stretch) - self.length + 1) for stretch in self.stretches], np.int64)

    def _draw(self, rng: np.random.Generator, mirror: bool) -> Batch:
        starts = self._starts()
        shortest, longest = (int(self.length * part) for part in HISTORY)
        windows = []
        for index in rng.choice(len(starts), size=self.rows, p=self._probabilities(starts)):
            first = int(rng.integers(starts[index]))
            cut = int(rng.integers(shortest, longest + 1))
            drop_volume, mirror_this = rng.random(2) < 0.5
            windows.append(
                cut_window(
                    self.stretches[index],
                    first,
                    self.length,
                    cut,
                    drop_volume=drop_volume,
                    mirror=mirror and mirror_this,
                    price_limit=self.price_limit,
                )
            )
        return stack(windows)

    def _probabilities(self, starts: Int64Array) -> Float64Array:
        """Return the probability of each stretch, (stretches,), from the windows that begin in it."""
        names = np.array([stretch.timeframe for stretch in self.stretches])
        weights = starts.astype(np.float64)
        for name in np.unique(names):
            windows = weights[names == name].sum()
            weights[names == name] *= windows ** (_EVENNESS - 1) if windows else 0.0
        return np.asarray(weights / weights.sum())


def cut_window(
    stretch: Stretch,
    first: int,
    length: int,
    cut: int,
    *,
    drop_volume: bool = False,
    mirror: bool = False,
    price_limit: float = CLIP,
) -> Batch:
    """Return the candles `first` to `first + length` of a stretch as a batch of one.

    Parameters
    ----------
    cut
        Length of the history. Mean and spread come from it alone, and after it the event channels that are
        not known ahead are zero.
    drop_volume
        Zero volume and amount, as in a feed without them.
    mirror
        Negate prices, and exchange high and low.
    price_limit
        Magnitude at which normalised prices after the cut are clipped: that of the tokenizer's range. Those
        before it are clipped to ±5, as in a forecast.
    """
    candles = stretch.candles[first : first + length].copy()
    if drop_volume:
        candles[:, 4:] = 0.0
    limits = np.full(candles.shape, CLIP)
    limits[cut:, :PRICES] = price_limit
    values = normalise(candles[:cut]).apply(candles, limits)
    if mirror:
        values = (values * _MIRROR_SIGN)[:, _MIRROR_ORDER]
    stamp = time_features(stretch.timestamps[first : first + length], stretch.instrument.model_time_zone)
    events = steps = None
    if stretch.events is not None:
        rows = stretch.events[first : first + length]
        steps = torch.from_numpy(event_steps(rows))[None]
        events = torch.from_numpy(align_events(hide_after(rows, cut), "next"))[None]
    return Batch(
        torch.from_numpy(np.ascontiguousarray(values))[None],
        torch.from_numpy(stamp)[None],
        torch.tensor([cut]),
        events,
        steps,
    )


def stack(windows: Sequence[Batch]) -> Batch:
    """Join batches of the same length; event arrays are None where one of them has none."""
    events = [window.events for window in windows if window.events is not None]
    event_steps = [window.event_steps for window in windows if window.event_steps is not None]
    have_events = len(events) == len(windows)
    return Batch(
        torch.cat([window.values for window in windows]),
        torch.cat([window.stamp for window in windows]),
        torch.cat([window.cut for window in windows]),
        torch.cat(events) if have_events else None,
        torch.cat(event_steps) if have_events else None,
    )


def hide_after(rows: Float32Array, cut: int) -> Float32Array:
    """Return rows (L, 20) as a forecast at the cut has them: 0 from there on in channels not known ahead."""
    hidden = rows.copy()
    hidden[cut:, list(KNOWLEDGE_CHANNELS)] = 0.0
    return hidden


def event_steps(rows: Float32Array) -> BoolArray:
    """Return whether a release or decision falls in each candle: (L, 20) to (L,)."""
    return np.asarray(rows[:, FLAGS].any(axis=1))
