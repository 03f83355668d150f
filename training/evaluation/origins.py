"""Chooses the candles from which an evaluation forecasts: spread over time, after surprises, at releases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from market.event_channels import SURPRISES
from market.types import BoolArray, Float64Array
from training.data.stretches import Stretch
from training.data.windows import event_steps

DAY: Final = 24
"""Hourly candles of a day."""

SURPRISE: Final = 0.5
"""Standard deviations beyond which a release counts as a surprise."""

_WEEK: Final = np.timedelta64(7, "D")
_WEEKS_AWAY: Final = (-1, 1, -2, 2, -3, 3, -4, 4)


@dataclass(frozen=True)
class Origin:
    """A forecast from the candles before `first` of a stretch, over `pred_len` candles from there on."""

    stretch: Stretch
    first: int
    pred_len: int

    @property
    def last_close(self) -> float:
        """Close of the last candle of the history."""
        return float(self.stretch.candles[self.first - 1, 3])

    @property
    def actual(self) -> Float64Array:
        """Closes of the candles forecast, (pred_len,)."""
        return self.stretch.candles[self.first : self.first + self.pred_len, 3]


def spaced_origins(
    stretches: Sequence[Stretch], start: np.datetime64, lookback: int, count: int, *, quiet: bool = False
) -> list[Origin]:
    """Return up to `count` origins spread evenly over the candles from `start` on, each for a day ahead.

    With `quiet`, no event falls within a day of any candle of the forecast.
    """
    candidates = []
    for stretch in stretches:
        events = (
            event_steps(stretch.events) if stretch.events is not None else np.zeros(len(stretch), np.bool_)
        )
        earliest = max(lookback, int(np.searchsorted(stretch.timestamps, start)))
        candidates += [
            Origin(stretch, first, DAY)
            for first in range(earliest, len(stretch) - DAY + 1)
            if not quiet or not events[first - DAY : first + 2 * DAY].any()
        ]
    picks = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).astype(int)
    return [candidates[pick] for pick in picks]


def surprise_origins(
    stretches: Sequence[Stretch], start: np.datetime64, lookback: int, symbols: Sequence[str]
) -> list[Origin]:
    """Return origins whose last candle holds a surprise beyond `SURPRISE` in either direction."""
    origins = []
    for stretch in stretches:
        if stretch.instrument.symbol not in symbols or stretch.events is None:
            continue
        surprising = (np.abs(stretch.events[:, SURPRISES]) > SURPRISE).any(axis=1)
        firsts = np.flatnonzero(surprising & (stretch.timestamps >= start)) + 1
        origins += [
            Origin(stretch, int(first), DAY) for first in firsts if lookback <= first <= len(stretch) - DAY
        ]
    return origins


def release_pairs(
    stretches: Sequence[Stretch], start: np.datetime64, step: int, lookback: int, channel: int
) -> Iterator[tuple[Origin, Origin]]:
    """Yield pairs of origins, the first with a release at its last step, the second without.

    The last step of the second is at the same hour of another week.

    Parameters
    ----------
    step
        Candles forecast.
    channel
        Flag of the release in the event array.
    """
    for stretch in stretches:
        assert stretch.events is not None
        events = event_steps(stretch.events)
        for release in np.flatnonzero((stretch.events[:, channel] > 0) & (stretch.timestamps >= start)):
            control = _quiet_row(stretch, events, int(release), step)
            first = int(release) - step + 1
            if control is not None and first >= lookback and control - step + 1 >= lookback:
                yield Origin(stretch, first, step), Origin(stretch, control - step + 1, step)


def _quiet_row(stretch: Stretch, events: BoolArray, row: int, step: int) -> int | None:
    """Return the nearest row, whole weeks away, without events in its forecast and half a day before that."""
    for weeks in _WEEKS_AWAY:
        moment = stretch.timestamps[row] + weeks * _WEEK
        other = int(np.searchsorted(stretch.timestamps, moment))
        if other < len(stretch) and stretch.timestamps[other] == moment:
            earliest = max(0, other - step + 1 - DAY // 2)
            if not events[earliest : other + 1].any():
                return other
    return None
