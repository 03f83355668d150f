"""Measures how likely a bundle finds the real tokens after each history, and which it finds most probable."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from export.accuracy.decoder_rows import DecoderRows, DecoderSessions, negative_log_likelihood
from export.accuracy.windows import Window
from export.parity import cpu_session
from inference_server.engine.bundle import ENCODE_FILE, INSTRUMENTS_CLOCK, CacheLayout
from market.normalise import normalise
from market.time_features import time_features
from market.types import Float64Array, Int64Array

CACHE_BYTES: Final = 256 << 20
"""Memory for the key/value caches of the windows that run at once."""

MOST_ROWS: Final = 64
"""Windows that run at once; more are not faster on a CPU."""


@dataclass(frozen=True)
class TokenWindows:
    """The tokens of windows, and the time fields of their candles.

    `s1` and `s2` are (windows, length), `stamp` is (windows, length, 5); the first `lookback` of each row are
    history.
    """

    s1: Int64Array
    s2: Int64Array
    stamp: Int64Array
    lookback: int

    def __len__(self) -> int:
        return len(self.s1)

    def part(self, at: slice) -> "TokenWindows":
        """Return some of the windows."""
        return TokenWindows(self.s1[at], self.s2[at], self.stamp[at], self.lookback)

    @property
    def steps(self) -> int:
        """Candles after the history."""
        return int(self.s1.shape[1]) - self.lookback


@dataclass(frozen=True)
class TokenFigures:
    """What a decoder makes of the tokens after each history, s1 first, then s2 given the real s1.

    `nll` is (windows, steps, 2), nats; `likeliest` is (windows, steps, 2), the most probable tokens.
    """

    nll: Float64Array
    likeliest: Int64Array


def encode_windows(bundle: Path, windows: Sequence[Window], model_clock: str | None) -> TokenWindows:
    """Return the tokens of history and future; both are normalised by the history alone, as in a forecast.

    `model_clock` is the manifest's.
    """
    encode = cpu_session(bundle / ENCODE_FILE)
    s1, s2, stamps = [], [], []
    for window in windows:
        values = normalise(window.history).apply(window.candles)
        tokens = encode.run(["s1", "s2"], {"candles": values[None]})
        s1.append(tokens[0][0])
        s2.append(tokens[1][0])
        zone = window.series.time_zone
        if model_clock is not None and model_clock != INSTRUMENTS_CLOCK:
            zone = model_clock
        stamps.append(time_features(window.timestamps, zone))
    return TokenWindows(np.stack(s1), np.stack(s2), np.stack(stamps), windows[0].shape.lookback)


def token_figures(
    sessions: DecoderSessions, layouts: Sequence[CacheLayout], tokens: TokenWindows
) -> TokenFigures:
    """Feed the real tokens to a decoder, one candle a step, and return its figures for each that follows.

    As many windows run at once as `CACHE_BYTES` holds.

    Raises
    ------
    AccuracyError
        A logit is no number.
    """
    bytes_of_row = tokens.s1.shape[1] * sum(2 * cache.heads * cache.head_dim for cache in layouts) * 4
    rows = max(1, min(MOST_ROWS, CACHE_BYTES // bytes_of_row))
    parts = [
        _figures(sessions, tokens.part(slice(start, start + rows))) for start in range(0, len(tokens), rows)
    ]
    return TokenFigures(
        np.concatenate([part.nll for part in parts]), np.concatenate([part.likeliest for part in parts])
    )


def _figures(sessions: DecoderSessions, tokens: TokenWindows) -> TokenFigures:
    """Prefill the histories but for their last token, then step through the rest."""
    rows, length = tokens.s1.shape
    position = np.arange(rows * length).reshape(rows, length)
    last = tokens.lookback - 1
    decoder = DecoderRows(sessions.decoder, sessions.conditioning(tokens.stamp), rows, length)
    before = slice(last)
    decoder.take_in(sessions, tokens.s1[:, before], tokens.s2[:, before], position[:, before])
    nll = np.empty((rows, tokens.steps, 2))
    likeliest = np.empty(nll.shape, np.int64)
    for step in range(tokens.steps):
        at = slice(last + step, last + step + 1)
        real = tokens.s1[:, at.stop], tokens.s2[:, at.stop]
        logits = decoder.score(tokens.s1[:, at], tokens.s2[:, at], position[:, at], real[0])
        for head in range(2):
            nll[:, step, head] = negative_log_likelihood(logits[head], real[head])
            likeliest[:, step, head] = logits[head].argmax(axis=1)
    return TokenFigures(nll, likeliest)
