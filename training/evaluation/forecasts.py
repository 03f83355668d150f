"""Forecasts from past origins, with and without events, and measures them against the actual candles."""

from collections.abc import Sequence
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
from market.event_channels import EVENT_CHANNELS
from market.types import Float64Array
from training.data.stretches import Stretch, TrainingError
from training.data.windows import hide_after
from training.evaluation.bootstrap import Figure, mean, paired_ratio, share
from training.evaluation.origins import Origin, release_pairs

STEPS: Final = (1, 6, 24)
RELEASES: Final = {name: EVENT_CHANNELS.index(f"is_{name.lower()}") for name in ("FOMC", "CPI", "NFP")}
_JOBS_AT_ONCE: Final = 4  # their caches share the engine's memory

_console = Console(stderr=True)


@dataclass(frozen=True)
class Forecaster:
    """Runs a bundle from past origins, with the same seeds with events and without."""

    engine: Engine
    lookback: int
    samples: int

    def closes(self, origins: Sequence[Origin], *, events: bool) -> list[Float64Array]:
        """Return sampled closes, (samples, pred_len) for each origin.

        Raises
        ------
        TrainingError
            A close is NaN or infinite: comparisons with it would silently count as misses.
        """
        closes: list[Float64Array] = []
        label = f"{len(origins)} forecasts {'with' if events else 'without'} events"
        starts = range(0, len(origins), _JOBS_AT_ONCE)
        for start in track(starts, label, console=_console, disable=not _console.is_terminal):
            group = origins[start : start + _JOBS_AT_ONCE]
            jobs = [self._job(origin, start + i, events=events) for i, origin in enumerate(group)]
            closes += [paths[..., 3].astype(np.float64) for paths in self.engine.forecast(jobs)]
        broken = sum(not np.isfinite(sampled).all() for sampled in closes)
        if broken:
            raise TrainingError(f"{broken} of {label} hold NaN or infinite values")
        return closes

    def _job(self, origin: Origin, seed: int, *, events: bool) -> ForecastJob:
        stretch, first = origin.stretch, origin.first
        start, end = first - self.lookback, first + origin.pred_len
        rows = None
        if events:
            assert stretch.events is not None
            rows = hide_after(stretch.events[start:end], self.lookback)
        return ForecastJob(
            stretch.candles[start:first],
            stretch.timestamps[start:first],
            stretch.timestamps[first:end],
            sample_count=self.samples,
            top_p=1.0,
            seed=seed,
            events=rows,
            time_zone=stretch.instrument.model_time_zone,
        )


def random_walk_figures(forecaster: Forecaster, origins: Sequence[Origin], *, events: bool) -> list[Figure]:
    """Return CRPS of close beside a random walk's, and the coverage of p10 to p90, at `STEPS`."""
    steps = np.array(STEPS) - 1
    scores = []
    for origin, samples in zip(origins, forecaster.closes(origins, events=events), strict=True):
        history = origin.stretch.candles[origin.first - forecaster.lookback : origin.first, 3]
        walk = random_walk(history, origin.pred_len)
        low, _, high = envelope(samples)
        walk_low, _, walk_high = walk.quantiles()
        actual, last = origin.actual[steps], origin.last_close
        scores.append(
            (
                fair_crps(samples[:, steps], actual) / last,
                lognormal_crps(walk.median, walk.sigma[steps], actual) / last,
                covered(low[steps], high[steps], actual) > 0,
                covered(walk_low[steps], walk_high[steps], actual) > 0,
            )
        )
    figures = []
    for i, step in enumerate(STEPS):
        crps, walk_crps, inside, walk_inside = (
            np.array([values[i] for values in column]) for column in zip(*scores, strict=True)
        )
        figures += [
            mean(f"CRPS, step {step}, basis points of the price", crps * 1e4),
            paired_ratio(f"CRPS over the random walk's, step {step}", crps, walk_crps),
            share(f"coverage of p10–p90, step {step}", inside),
            share(f"the random walk's coverage, step {step}", walk_inside),
        ]
    return figures


def width_figures(
    forecaster: Forecaster, stretches: Sequence[Stretch], start: np.datetime64, steps: Sequence[int]
) -> list[Figure]:
    """Return the width of p10 to p90 at the step of a release over that at the same hour of a quiet week."""
    figures = []
    for step in steps:
        pairs = {
            name: list(release_pairs(stretches, start, step, forecaster.lookback, channel))
            for name, channel in RELEASES.items()
        }
        # Releases and their controls in turn: even rows are at a release, odd rows in a quiet week.
        origins = [origin for of_kind in pairs.values() for pair in of_kind for origin in pair]
        if not origins:
            continue
        with_events = _last_widths(forecaster, origins, events=True)
        without_events = _last_widths(forecaster, origins, events=False)
        for label, widths in (("with", with_events), ("without", without_events)):
            name = f"step {step}, {label} events: width at a release over quiet"
            figures.append(paired_ratio(name, widths[::2], widths[1::2]))
        end = 0
        for name, of_kind in pairs.items():
            begin, end = end, end + 2 * len(of_kind)
            widths = with_events[begin:end]
            label = f"step {step}, with events: {name} alone"
            figures.append(paired_ratio(label, widths[::2], widths[1::2]))
        moves = np.array([abs(origin.actual[-1] / origin.last_close - 1) for origin in origins])
        figures.append(paired_ratio(f"step {step}, what the market did: |move|", moves[::2], moves[1::2]))
    return figures


def quiet_figures(forecaster: Forecaster, origins: Sequence[Origin]) -> list[Figure]:
    """Return the mean absolute error of p50 with events over that without, at origins without an event."""

    def errors(*, events: bool) -> Float64Array:
        closes = forecaster.closes(origins, events=events)
        return np.array(
            [
                np.mean(np.abs(envelope(samples)[1] - origin.actual)) / origin.last_close
                for origin, samples in zip(origins, closes, strict=True)
            ]
        )

    name = "quiet steps: MAE with events over MAE without"
    return [paired_ratio(name, errors(events=True), errors(events=False))]


def direction_figures(forecaster: Forecaster, origins: Sequence[Origin]) -> list[Figure]:
    """Return the share of surprises after which the median path moves as the market did, at `STEPS`."""
    medians = [envelope(samples)[1] for samples in forecaster.closes(origins, events=True)]
    figures = []
    for step in STEPS:
        hits = [
            np.sign(median[step - 1] - origin.last_close)
            == np.sign(origin.actual[step - 1] - origin.last_close)
            for median, origin in zip(medians, origins, strict=True)
            if origin.actual[step - 1] != origin.last_close
        ]
        figures.append(share(f"median moves as the market did, {step} candles after a surprise", hits))
    return figures


def _last_widths(forecaster: Forecaster, origins: Sequence[Origin], *, events: bool) -> Float64Array:
    """Return the width of p10 to p90 at the last step over the last close, (origins,)."""
    widths = []
    for origin, samples in zip(origins, forecaster.closes(origins, events=events), strict=True):
        low, _, high = envelope(samples)
        widths.append((high[-1] - low[-1]) / origin.last_close)
    return np.array(widths)
