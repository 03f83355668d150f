"""Windows drawn from stretches, normalised by their history alone: what a model sees in one training step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from market.event_channels import FLAGS, KNOWLEDGE_CHANNELS, align_events
from market.normalise import normalise
from market.time_features import time_features
from market.types import BoolArray, Float32Array, Int64Array
from training.data.stretches import Stretch, TrainingError

# The part of a window that is history, drawn evenly between these.
HISTORY: Final = (0.25, 0.875)
# Sign of each feature when a window is turned upside down, and the feature that takes its place.
_MIRROR_SIGN: Final = np.array([-1, -1, -1, -1, 1, 1], np.float32)
_MIRROR_ORDER: Final = [0, 2, 1, 3, 4, 5]


@dataclass(frozen=True)
class Batch:
    """B windows of L candles.

    Attributes
    ----------
    values : (B, L, 6) float32
        Normalised by mean and spread of the history, clipped to ±5.
    stamp : (B, L, 5) int64
    cut : (B,) int64
        Length of the history; candles from there on are the future.
    events : (B, L, 20) float32 or None
        By token (alignment "next"): the last row lacks its schedule, as nothing follows it.
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
        """The batch on a device."""
        given = (self.values, self.stamp, self.cut, self.events, self.event_steps)
        return Batch(*(None if each is None else each.to(device) for each in given))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sampler:
    """Draws windows of `length` candles; the same step draws the same windows.

    Attributes
    ----------
    stretches
        Of which only those of at least `length` candles are used; each start is equally likely.
    mirror
        Turn half of the windows upside down: prices negated, high and low exchanged.
    """

    stretches: Sequence[Stretch]
    length: int
    rows: int
    seed: int
    mirror: bool = False

    def __post_init__(self) -> None:
        if not self._starts().sum():
            longest = max((len(stretch) for stretch in self.stretches), default=0)
            raise TrainingError(
                f"no stretch holds a window of {self.length} candles, the longest has {longest}; give more "
                "candles, or a smaller --window"
            )

    def batch(self, step: int) -> Batch:
        """The windows of one training step."""
        return self._draw(np.random.default_rng([self.seed, step]), self.mirror)

    def fixed(self, batches: int) -> list[Batch]:
        """Batches for validation: the same whatever the training does, never mirrored."""
        return [self._draw(np.random.default_rng([self.seed, 1 << 40, i]), False) for i in range(batches)]

    def _starts(self) -> Int64Array:
        return np.array([max(0, len(stretch) - self.length + 1) for stretch in self.stretches], np.int64)

    def _draw(self, rng: np.random.Generator, mirror: bool) -> Batch:
        starts = self._starts()
        ends = np.cumsum(starts)
        windows = []
        for place in rng.integers(ends[-1], size=self.rows):
            which = int(np.searchsorted(ends, place, side="right"))
            first = int(place - ends[which] + starts[which])
            cut = int(rng.integers(int(self.length * HISTORY[0]), int(self.length * HISTORY[1]) + 1))
            drop_volume, turn = rng.random(2) < 0.5
            windows.append(
                cut_window(self.stretches[which], first, self.length, cut, drop_volume, turn and mirror)
            )
        return stack(windows)


def cut_window(
    stretch: Stretch, first: int, length: int, cut: int, drop_volume: bool = False, turn: bool = False
) -> Batch:
    """One window, of candles `first` to `first + length` of a stretch, as a batch of one.

    Parameters
    ----------
    cut
        Length of the history. Mean and spread come from it alone, and after it the event channels that
        nobody can know ahead are zero.
    drop_volume
        Zero volume and amount, as a feed without them does.
    turn
        Turn prices upside down.
    """
    candles = stretch.candles[first : first + length].copy()
    if drop_volume:
        candles[:, 4:] = 0.0
    values = normalise(candles[:cut]).apply(candles)
    if turn:
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
    """One batch of several of the same length."""

    def joined(name: str) -> Tensor | None:
        parts = [getattr(window, name) for window in windows]
        return None if any(part is None for part in parts) else torch.cat(parts)

    values, stamp, cut = (
        torch.cat([getattr(w, name) for w in windows]) for name in ("values", "stamp", "cut")
    )
    return Batch(values, stamp, cut, joined("events"), joined("event_steps"))


def hide_after(rows: Float32Array, cut: int) -> Float32Array:
    """Rows (L, 20) as they would be served at the cut: what nobody can know ahead is 0 from there on."""
    hidden = rows.copy()
    hidden[cut:, list(KNOWLEDGE_CHANNELS)] = 0.0
    return hidden


def event_steps(rows: Float32Array) -> BoolArray:
    """Whether a release or decision falls in each candle: (L, 20) to (L,)."""
    return np.asarray(rows[:, FLAGS].any(axis=1))
