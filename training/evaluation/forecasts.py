"""Sample paths from past origins through the engine, with and without events, scored against what came."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import track

from flows.scoring.metrics import covered, fair_crps, lognormal_crps
from flows.scoring.random_walk import random_walk
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from market.envelope import envelope
from market.event_channels import EVENT_CHANNELS, SURPRISES
from market.types import BoolArray, Float64Array
from training.data.stretches import Stretch, TrainingError
from training.data.windows import event_steps, hide_after
from training.evaluation.bootstrap import Figure, mean, paired_ratio, share

STEPS: Final = (1, 6, 24)
RELEASES: Final = {name: EVENT_CHANNELS.index(f"is_{name.lower()}") for name in ("FOMC", "CPI", "NFP")}
DAY: Final = 24
SURPRISE: Final = 0.5
_WEEK: Final = np.timedelta64(7, "D")
_WEEKS: Final = (-1, 1, -2, 2, -3, 3, -4, 4)

_console = Console(stderr=True)


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
    def closes(self) -> Float64Array:
        """What came, (pred_len,)."""
        return self.stretch.candles[self.first : self.first + self.pred_len, 3]


@dataclass(frozen=True)
class Paths:
    """Runs a bundle from past origins; the same seed with events and without."""

    engine: Engine
    lookback: int
    samples: int

    def closes(self, origins: Sequence[Origin], *, events: bool) -> list[Float64Array]:
        """Sampled closes, (samples, pred_len) for each origin.

        Raises
        ------
        TrainingError
            One is no number: every comparison with it would count as a miss of the forecast.
        """
        found: list[Float64Array] = []
        what = f"{len(origins)} forecasts {'with' if events else 'without'} events"
        # A few at a time: their caches share the engine's memory.
        starts = range(0, len(origins), 4)
        for start in track(starts, what, console=_console, disable=not _console.is_terminal):
            jobs = [
                self._job(each, start + i, events=events) for i, each in enumerate(origins[start : start + 4])
            ]
            found += [paths[..., 3].astype(np.float64) for paths in self.engine.forecast(jobs)]
        broken = sum(not np.isfinite(closes).all() for closes in found)
        if broken:
            raise TrainingError(f"{broken} of {what} hold values that are no numbers")
        return found

    def _job(self, origin: Origin, seed: int, *, events: bool) -> ForecastJob:
        stretch, first = origin.stretch, origin.first
        window = slice(first - self.lookback, first + origin.pred_len)
        rows = None
        if events:
            assert stretch.events is not None
            rows = hide_after(stretch.events[window], self.lookback)
        return ForecastJob(
            stretch.candles[first - self.lookback : first],
            stretch.timestamps[first - self.lookback : first],
            stretch.timestamps[first : first + origin.pred_len],
            sample_count=self.samples,
            top_p=1.0,
            seed=seed,
            events=rows,
            time_zone=stretch.instrument.model_time_zone,
        )


def walk_figures(paths: Paths, origins: Sequence[Origin], *, events: bool) -> list[Figure]:
    """CRPS of close beside a random walk's, and the coverage of p10 to p90, at `STEPS`."""
    steps = np.array(STEPS) - 1
    scores = []
    for origin, samples in zip(origins, paths.closes(origins, events=events), strict=True):
        history = origin.stretch.candles[origin.first - paths.lookback : origin.first, 3]
        walk = random_walk(history, origin.pred_len)
        low, _, high = envelope(samples)
        walk_low, _, walk_high = walk.quantiles()
        actual, last = origin.closes[steps], origin.last_close
        scores.append(
            (
                fair_crps(samples[:, steps], actual) / last,
                lognormal_crps(walk.median, walk.sigma[steps], actual) / last,
                covered(low[steps], high[steps], actual) > 0,
                covered(walk_low[steps], walk_high[steps], actual) > 0,
            )
        )
    found = []
    for row, step in enumerate(STEPS):
        model, baseline, inside, walk_inside = (
            np.array([part[row] for part in column]) for column in zip(*scores, strict=True)
        )
        found += [
            mean(f"CRPS, step {step}, basis points of the price", model * 1e4),
            paired_ratio(f"CRPS over the random walk's, step {step}", model, baseline),
            share(f"coverage of p10–p90, step {step}", inside),
            share(f"the random walk's coverage, step {step}", walk_inside),
        ]
    return found


def width_figures(
    paths: Paths, stretches: Sequence[Stretch], start: np.datetime64, steps: Sequence[int]
) -> list[Figure]:
    """Width of p10 to p90 at the step of a release over that at the same hour of a quiet day near it."""
    found = []
    for step in steps:
        pairs = {
            name: list(_pairs(stretches, start, step, paths.lookback, c)) for name, c in RELEASES.items()
        }
        every = [origin for each in pairs.values() for pair in each for origin in pair]
        if not every:
            continue
        widths = {told: _last_widths(paths, every, events=told) for told in (True, False)}
        for told, label in ((True, "with"), (False, "without")):
            name = f"step {step}, {label} events: width at a release over quiet"
            found.append(paired_ratio(name, widths[told][::2], widths[told][1::2]))
        ends = np.cumsum([len(pairs[name]) for name in RELEASES])
        for name, end in zip(RELEASES, ends, strict=True):
            part = slice(2 * (end - len(pairs[name])), 2 * end)
            at_release, at_quiet = widths[True][part][::2], widths[True][part][1::2]
            found.append(paired_ratio(f"step {step}, with events: {name} alone", at_release, at_quiet))
        moves = np.array([abs(each.closes[-1] / each.last_close - 1) for each in every])
        found.append(paired_ratio(f"step {step}, what the market did: |move|", moves[::2], moves[1::2]))
    return found


def quiet_figures(paths: Paths, origins: Sequence[Origin]) -> list[Figure]:
    """Mean absolute error of p50 with events over that without, on steps with no event within a day."""
    errors = [
        np.array(
            [
                np.mean(np.abs(envelope(samples)[1] - origin.closes)) / origin.last_close
                for origin, samples in zip(origins, paths.closes(origins, events=told), strict=True)
            ]
        )
        for told in (True, False)
    ]
    return [paired_ratio("quiet steps: MAE with events over MAE without", *errors)]


def direction_figures(paths: Paths, origins: Sequence[Origin]) -> list[Figure]:
    """Share of surprises after which the median path moves the way the market did, at `STEPS`."""
    medians = [envelope(samples)[1] for samples in paths.closes(origins, events=True)]
    found = []
    for step in STEPS:
        hits = [
            np.sign(median[step - 1] - each.last_close) == np.sign(each.closes[step - 1] - each.last_close)
            for median, each in zip(medians, origins, strict=True)
            if each.closes[step - 1] != each.last_close
        ]
        found.append(share(f"median moves as the market did, {step} candles after a surprise", hits))
    return found


def spaced_origins(
    stretches: Sequence[Stretch], start: np.datetime64, lookback: int, count: int, *, quiet: bool = False
) -> list[Origin]:
    """Up to `count` origins spread evenly over the candles from `start` on, a day ahead of each.

    With `quiet`, no event falls within a day of any candle of the forecast.
    """
    possible = []
    for each in stretches:
        steps = event_steps(each.events) if each.events is not None else np.zeros(len(each), np.bool_)
        first = max(lookback, int(np.searchsorted(each.timestamps, start)))
        possible += [
            Origin(each, place, DAY)
            for place in range(first, len(each) - DAY + 1)
            if not quiet or not steps[place - DAY : place + 2 * DAY].any()
        ]
    picks = np.linspace(0, len(possible) - 1, min(count, len(possible))).astype(int)
    return [possible[i] for i in picks]


def surprise_origins(
    stretches: Sequence[Stretch], start: np.datetime64, lookback: int, symbols: Sequence[str]
) -> list[Origin]:
    """Origins whose last candle holds a surprise beyond `SURPRISE` in either direction."""
    found = []
    for each in stretches:
        if each.instrument.symbol not in symbols or each.events is None:
            continue
        beyond = (np.abs(each.events[:, SURPRISES]) > SURPRISE).any(axis=1)
        places = np.flatnonzero(beyond & (each.timestamps >= start)) + 1
        found += [Origin(each, int(p), DAY) for p in places if lookback <= p <= len(each) - DAY]
    return found


def _pairs(
    stretches: Sequence[Stretch], start: np.datetime64, step: int, lookback: int, channel: int
) -> Iterator[tuple[Origin, Origin]]:
    """A release at the last step of the first origin, and a quiet week's same hour at that of the second."""
    for each in stretches:
        assert each.events is not None
        steps = event_steps(each.events)
        for place in np.flatnonzero((each.events[:, channel] > 0) & (each.timestamps >= start)):
            quiet = _quiet_place(each, steps, int(place), step)
            first = int(place) - step + 1
            if quiet is not None and first >= lookback and quiet - step + 1 >= lookback:
                yield Origin(each, first, step), Origin(each, quiet - step + 1, step)


def _quiet_place(stretch: Stretch, steps: BoolArray, place: int, step: int) -> int | None:
    """The candle some weeks away at the same hour with no event in the half day before, nor on its way."""
    for weeks in _WEEKS:
        moment = stretch.timestamps[place] + weeks * _WEEK
        other = int(np.searchsorted(stretch.timestamps, moment))
        if other < len(stretch) and stretch.timestamps[other] == moment:
            before = max(0, other - step + 1 - DAY // 2)
            if not steps[before : other + 1].any():
                return other
    return None


def _last_widths(paths: Paths, origins: Sequence[Origin], *, events: bool) -> Float64Array:
    found = []
    for origin, samples in zip(origins, paths.closes(origins, events=events), strict=True):
        low, _, high = envelope(samples)
        found.append((high[-1] - low[-1]) / origin.last_close)
    return np.array(found)
