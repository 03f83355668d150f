"""Draws sample paths with one bundle, and measures their probability and their closes in another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.accuracy.decoder_rows import DecoderRows, DecoderSessions, Sampling, negative_log_likelihood
from export.accuracy.tokens import TokenWindows
from export.accuracy.windows import CLOSE, Window
from export.parity import cpu_session
from inference_server.engine.bundle import DECODE_FILE
from inference_server.engine.draws import path_draws
from market.normalise import normalise
from market.types import Float64Array, Int64Array


@dataclass(frozen=True)
class Paths:
    """Sample paths of windows: tokens (windows, paths, steps), and −log of their probability, nats."""

    s1: Int64Array
    s2: Int64Array
    nll: Float64Array  # (windows, paths, steps): up to each step


def draw_paths(sessions: DecoderSessions, tokens: TokenWindows, count: int) -> Paths:
    """Draw `count` paths after each history at temperature 1; a window's place is its seed."""
    shape = (len(tokens), count, tokens.steps)
    s1, s2, nll = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape)
    for window in range(len(tokens)):
        draws = np.stack([path_draws(window, path, tokens.steps) for path in range(count)])
        rows, position = _continued(sessions, tokens.part(slice(window, window + 1)), count)
        newest = tokens.lookback - 1
        at = [np.full((count, 1), values[window, newest]) for values in (tokens.s1, tokens.s2)]
        for step in range(tokens.steps):
            drawn = rows.feed(at[0], at[1], position + step, Sampling(draws[:, step]))
            s1[window, :, step], s2[window, :, step] = drawn.s1, drawn.s2
            nll[window, :, step] = negative_log_likelihood(
                drawn.s1_logits, drawn.s1
            ) + negative_log_likelihood(drawn.s2_logits, drawn.s2)
            at = [drawn.s1[:, None], drawn.s2[:, None]]
    return Paths(s1, s2, nll.cumsum(axis=2))


def path_nll(sessions: DecoderSessions, tokens: TokenWindows, paths: Paths) -> Float64Array:
    """Return −log of the probability of given paths up to each step, (windows, paths, steps), nats.

    Raises
    ------
    AccuracyError
        A logit is no number.
    """
    nll = np.empty(paths.s1.shape)
    count, newest = len(paths.s1[0]), tokens.lookback - 1
    for window in range(len(tokens)):
        rows, position = _continued(sessions, tokens.part(slice(window, window + 1)), count)
        at = [np.full((count, 1), values[window, newest]) for values in (tokens.s1, tokens.s2)]
        for step in range(tokens.steps):
            following = paths.s1[window, :, step], paths.s2[window, :, step]
            logits = rows.score(at[0], at[1], position + step, following[0])
            of_heads = [negative_log_likelihood(x, t) for x, t in zip(logits, following, strict=True)]
            nll[window, :, step] = of_heads[0] + of_heads[1]
            at = [values[:, None] for values in following]
    return nll.cumsum(axis=2)


def path_closes(bundle: Path, windows: Sequence[Window], tokens: TokenWindows, paths: Paths) -> Float64Array:
    """Return the closes, (windows, paths, steps), price units, that a bundle's tokenizer makes of paths."""
    decode = cpu_session(bundle / DECODE_FILE)
    closes = np.empty(paths.s1.shape)
    for i, window in enumerate(windows):
        (candles,) = decode.run(
            ["candles"],
            {
                "past_s1": tokens.s1[i : i + 1, : tokens.lookback],
                "past_s2": tokens.s2[i : i + 1, : tokens.lookback],
                "s1": paths.s1[i],
                "s2": paths.s2[i],
            },
        )
        closes[i] = normalise(window.history).restore(candles)[..., CLOSE]
    return closes


def _continued(sessions: DecoderSessions, window: TokenWindows, count: int) -> tuple[DecoderRows, Int64Array]:
    """Prefill a window's history but for its last token; return rows that continue it, and their position."""
    last = window.lookback - 1
    conditioning = sessions.conditioning(window.stamp)
    history = DecoderRows(sessions.decoder, conditioning, 1, last)
    history.take_in(sessions, window.s1[:, :last], window.s2[:, :last], np.arange(last)[None])
    rows = DecoderRows.after(sessions, history, conditioning, count, window.steps)
    return rows, np.full((count, 1), last)
