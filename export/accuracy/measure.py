"""Measures a bundle against the float32 bundle of the same checkpoint."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from export.accuracy.bootstrap import relative_change
from export.accuracy.decoder_rows import DecoderSessions
from export.accuracy.errors import AccuracyError
from export.accuracy.paths import draw_paths, path_closes, path_nll
from export.accuracy.scores import effective_paths, weighted_crps, weighted_width, weights_of
from export.accuracy.tokens import TokenFigures, encode_windows, token_figures
from export.accuracy.windows import CandleSeries, Shape, Window, choose_windows
from inference_server.engine.bundle import Accuracy, load_manifest
from market.types import Float64Array, Int64Array

WINDOWS: Final = 300
"""Windows that an export measures on."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: the shape of windows, the sample paths of each, and how many windows.

    Of fewer than 10 paths p10 and p90 are the outermost ones, whose distance no weights change.
    """

    shape: Shape
    paths: int
    windows: int = WINDOWS


_EFFORTS: Final = {
    2e6: Effort(Shape(256, 12), 32),
    10e6: Effort(Shape(192, 8), 32),
    50e6: Effort(Shape(128, 6), 16),
    np.inf: Effort(Shape(64, 3), 16),
}
"""By the most parameters of a decoder, so that the largest published one takes less than five minutes.

The sample paths of all windows together make the figures, so that each window has few.
"""


@dataclass(frozen=True)
class PathFigures:
    """CRPS and width from p10 to p90 of each window, (windows,) each: means over its steps.

    Both are of close, in standard deviations of a random walk's close at the step (`Window.scale`).
    """

    crps: Float64Array
    width: Float64Array


def effort_for(parameters: int, max_context: int) -> Effort:
    """Return what is measured with a decoder of so many parameters."""
    effort = next(effort for most, effort in _EFFORTS.items() if parameters <= most)
    shape = effort.shape
    return replace(effort, shape=Shape(min(shape.lookback, max_context - shape.pred_len), shape.pred_len))


def measure(
    reference: Path, bundle: Path, series: Sequence[CandleSeries], data: str, effort: Effort | None = None
) -> Accuracy:
    """Measure what a bundle loses against the float32 bundle of the same checkpoint, without events.

    Both bundles are given the tokens that the reference's tokenizer makes of the candles. The reference draws
    sample paths after each history; the other bundle gives the same paths other weights, the ratio of their
    probabilities. A second set of paths, drawn from the same uniform numbers, would leave the first at the
    first token that differs, and the noise of both would hide a change of a few percent.

    Parameters
    ----------
    reference, bundle
        The two bundles' folders.
    series
        Candles to measure on.
    data
        What they are, for the manifest.
    effort
        How much is measured; by the size of the model unless given.

    Raises
    ------
    CandleFileError
        The candles are too few.
    AccuracyError
        A bundle gives something that is no number.
    """
    manifest = load_manifest(reference)
    chosen = effort or effort_for(manifest.parameters, manifest.max_context)
    windows = choose_windows(series, chosen.shape, chosen.windows)
    tokens = encode_windows(reference, windows, manifest.model_clock)
    # One bundle's graphs are loaded at a time.
    sessions = DecoderSessions.of(reference)
    before = token_figures(sessions, manifest.caches, tokens)
    paths = draw_paths(sessions, tokens, chosen.paths)
    del sessions
    sessions = DecoderSessions.of(bundle)
    after = token_figures(sessions, manifest.caches, tokens)
    log_ratio = paths.nll - path_nll(sessions, tokens, paths)
    weights = np.stack([weights_of(of_window) for of_window in log_ratio])
    equal = np.full(weights.shape, 1 / chosen.paths)
    return compare(
        windows,
        (before, after),
        (
            path_figures(windows, path_closes(reference, windows, tokens, paths), equal),
            path_figures(windows, path_closes(bundle, windows, tokens, paths), weights),
        ),
        data=data,
        paths=chosen.paths,
        effective=float(np.mean([effective_paths(of_window)[-1] for of_window in weights])),
    )


def path_figures(windows: Sequence[Window], closes: Float64Array, weights: Float64Array) -> PathFigures:
    """Score weighted paths against the closes that followed.

    Parameters
    ----------
    closes, weights
        (windows, paths, steps), price units; the weights of a window's step have the sum 1.
    """
    crps, width = [], []
    for window, x, w in zip(windows, closes, weights, strict=True):
        crps.append((weighted_crps(x, w, window.actual) / window.scale).mean())
        width.append((weighted_width(x, w) / window.scale).mean())
    return PathFigures(np.array(crps), np.array(width))


def compare(
    windows: Sequence[Window],
    tokens: tuple[TokenFigures, TokenFigures],
    forecasts: tuple[PathFigures, PathFigures],
    *,
    data: str,
    paths: int,
    effective: float,
) -> Accuracy:
    """Return the changes from the first figures of each pair, which are float32's, to the second.

    Raises
    ------
    AccuracyError
        A figure is no number.
    """
    blocks: Int64Array = np.array([window.block for window in windows])
    before, after = (figures.nll.mean(axis=1) for figures in tokens)  # (windows, 2)
    figures = {
        "nll": (before.sum(axis=1), after.sum(axis=1)),
        "nll_s1": (before[:, 0], after[:, 0]),
        "nll_s2": (before[:, 1], after[:, 1]),
        "crps": (forecasts[0].crps, forecasts[1].crps),
        "width": (forecasts[0].width, forecasts[1].width),
    }
    for name, pair in figures.items():
        if not np.isfinite(pair).all():
            raise AccuracyError(
                f"{name} is no number for some windows of candles, so the accuracy cannot be measured: is "
                "the checkpoint whole? No bundle was written"
            )
    same = (tokens[0].likeliest == tokens[1].likeliest).mean(axis=(0, 1))
    changes = {name: relative_change(*pair, blocks) for name, pair in figures.items()}
    return Accuracy(
        data=data,
        windows=dict(sorted(Counter(window.series.asset_class for window in windows).items())),
        blocks=len(np.unique(blocks)),
        lookback=windows[0].shape.lookback,
        pred_len=windows[0].shape.pred_len,
        paths=paths,
        effective_paths=effective,
        nll_float32=dict(zip(("s1", "s2"), before.mean(axis=0).tolist(), strict=True)),
        nll=changes["nll"],
        nll_s1=changes["nll_s1"],
        nll_s2=changes["nll_s2"],
        crps=changes["crps"],
        width=changes["width"],
        same_s1=float(same[0]),
        same_s2=float(same[1]),
    )
