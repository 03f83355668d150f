"""Defines the grid that candles stand on: runs of evenly spaced timestamps, computed when needed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from market.types import BoolArray, DatetimeArray, Int64Array


@dataclass(frozen=True, eq=False)
class CandleGrid:
    """Increasing timestamps in runs: minutes of forty years take no memory, and a hundred of them no time.

    Attributes
    ----------
    starts
        (runs,) datetime64[us], increasing: the first timestamp of each run.
    counts
        (runs,) number of timestamps of each run, at least 1.
    length
        timedelta64[us] between the timestamps of a run.
    ends
        (runs,) datetime64[us] at which the last candle of each run closes, at most `length` after it opens.
    """

    starts: DatetimeArray
    counts: Int64Array
    length: np.timedelta64
    ends: DatetimeArray

    @classmethod
    def of_runs(cls, starts: DatetimeArray, ends: DatetimeArray, length: np.timedelta64) -> "CandleGrid":
        """Return the grid of candles from each start to its end, the last of which may be short."""
        return cls(starts, -((starts - ends) // length), length, ends)

    @classmethod
    def of_stamps(cls, stamps: DatetimeArray, length: np.timedelta64) -> "CandleGrid":
        """Return the grid with exactly these timestamps, (n,), increasing."""
        return cls(stamps, np.ones(len(stamps), dtype=np.int64), length, stamps + length)

    @cached_property
    def _before(self) -> Int64Array:
        """Number of timestamps before each run, (runs,)."""
        return np.asarray(np.cumsum(self.counts) - self.counts)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def count_up_to(self, moments: DatetimeArray) -> Int64Array:
        """Return how many timestamps there are up to each instant, that instant included; (n,)."""
        moments = np.asarray(moments, dtype="datetime64[us]")
        run = np.searchsorted(_ints(self.starts), _ints(moments), side="right") - 1
        known = np.maximum(run, 0)
        within = np.minimum((moments - self.starts[known]) // self.length + 1, self.counts[known])
        return np.where(run < 0, 0, self._before[known] + within)

    def count_before(self, moments: DatetimeArray) -> Int64Array:
        """Return how many timestamps there are before each instant, (n,)."""
        moments = np.asarray(moments, dtype="datetime64[us]")
        return self.count_up_to(np.asarray(moments - np.timedelta64(1, "us"), dtype="datetime64[us]"))

    def stamps(self, start: int, stop: int) -> DatetimeArray:
        """Return the timestamps at the positions from `start` up to but not including `stop`."""
        return self.at(np.arange(max(start, 0), min(stop, len(self))))

    def at(self, positions: Int64Array) -> DatetimeArray:
        """Return the timestamps at some positions, (n,), each from 0 to the number of timestamps less 1."""
        run = np.searchsorted(self._before, positions, side="right") - 1
        return np.asarray(self.starts[run] + (positions - self._before[run]) * self.length)

    def between(self, first: np.datetime64, last: np.datetime64) -> DatetimeArray:
        """Return the timestamps from one instant to another, both included."""
        (start,), (stop,) = self.count_before(np.array([first])), self.count_up_to(np.array([last]))
        return self.stamps(int(start), int(stop))

    def closes(self, moments: DatetimeArray) -> tuple[BoolArray, DatetimeArray]:
        """Return whether each instant is a timestamp, (n,), and when the candle of that timestamp closes."""
        run = np.maximum(np.searchsorted(_ints(self.starts), _ints(moments), side="right") - 1, 0)
        distance = moments - self.starts[run]
        nth = distance // self.length
        holds = (nth >= 0) & (nth < self.counts[run]) & (distance == nth * self.length)
        return holds, np.minimum(moments + self.length, self.ends[run])


def _ints(times: DatetimeArray) -> Int64Array:
    """View datetime64[us] as integers, which NumPy searches several times faster."""
    return times.view(np.int64)
