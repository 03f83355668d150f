"""Measures the likelihood of held-out candles under a checkpoint, beside baselines and with events."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from export.model.checkpoint import Checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder
from export.model.tokenizer import KronosTokenizer
from market.event_channels import channels
from market.normalise import CLIP
from market.types import Float64Array, Int64Array
from training.data.stretches import Stretch
from training.data.windows import Batch, Sampler, cut_window, stack
from training.evaluation.baselines import STRENGTHS, TokenCounts
from training.evaluation.bootstrap import Figure, mean
from training.objective import token_nll

WINDOW: Final = 512
CUT: Final = 256
COUNTED: Final = 600
"""Windows of the training period whose tokens the baselines count."""

_ROWS: Final = 8
_RELEASES: Final = channels("is_fomc", "is_cpi", "is_nfp")


def held_out_windows(
    stretches: Sequence[Stretch], start: np.datetime64, price_limit: float = CLIP
) -> list[Batch]:
    """Return windows of `WINDOW` candles whose future begins at `start` or later.

    The futures do not overlap, so that each candle is scored once. `price_limit` is as in `cut_window`.
    """
    windows = []
    for stretch in stretches:
        earliest = max(0, int(np.searchsorted(stretch.timestamps, start)) - CUT)
        firsts = range(earliest, len(stretch) - WINDOW + 1, WINDOW - CUT)
        windows += [cut_window(stretch, first, WINDOW, CUT, price_limit=price_limit) for first in firsts]
    return windows


def likelihood_figures(
    checkpoint: Checkpoint,
    training: Sequence[Stretch],
    windows: Sequence[Batch],
    price_limit: float = CLIP,
) -> list[Figure]:
    """Return nats per token of the model and of two baselines, and their differences.

    The unigram predicts a token by its frequency; the bigram predicts s1 from the s1 before, and s2 from its
    own s1. Both count candles after the cut of windows drawn from the training period. The bigram has the
    smoothing that suits it best on the windows that are scored.
    """
    tokenizer = checkpoint.tokenizer
    counts = _CandleCounts(tokenizer, training, price_limit)
    models, unigrams, bigrams = [], [], []
    with torch.no_grad():
        for batch in _grouped(windows):
            s1, s2 = tokenizer.encode(batch.values)
            candle_nll = token_nll(checkpoint.decoder, s1, s2, batch.stamp).candle
            models.append((candle_nll / 2)[:, CUT - 1 :].mean(dim=1).double().numpy())
            unigrams.append(counts.unigram_nll(s1.numpy(), s2.numpy()))
            bigrams.append(counts.bigram_nll(s1.numpy(), s2.numpy()))
    model, unigram = np.concatenate(models), np.concatenate(unigrams)
    by_strength = np.concatenate(bigrams, axis=1)
    bigram = by_strength[by_strength.mean(axis=1).argmin()]
    return [
        mean("model, nats per token", model),
        mean("unigram", unigram),
        mean("bigram", bigram),
        mean("unigram − model", unigram - model),
        mean("bigram − model", bigram - model),
    ]


def event_likelihood_figures(
    checkpoint: Checkpoint, adapted: KronosDecoder, encoder: EventEncoder, windows: Sequence[Batch]
) -> list[Figure]:
    """Return nats per candle without events less those with events, on release steps and on the others.

    Parameters
    ----------
    adapted, encoder
        The decoder with its adapter merged, and the EventEncoder.
    """
    releases: list[Float64Array] = []
    events: list[Float64Array] = []
    others: list[Float64Array] = []
    with torch.no_grad():
        for batch in _grouped(windows):
            assert batch.events is not None
            assert batch.event_steps is not None
            s1, s2 = checkpoint.tokenizer.encode(batch.values)
            without_events = token_nll(checkpoint.decoder, s1, s2, batch.stamp).candle
            with_events = token_nll(adapted, s1, s2, batch.stamp, encoder(batch.events)).candle
            gain = (without_events - with_events).double()
            # A token carries the schedule of the candle that it predicts.
            at_release = batch.events[:, :-1, _RELEASES].any(dim=-1) & batch.future
            at_event = batch.event_steps[:, 1:] & batch.future
            releases.append(gain[at_release].numpy())
            events.append(gain[at_event].numpy())
            others.append(gain[batch.future & ~at_event].numpy())
    return [
        mean("FOMC, CPI, NFP steps: nats per candle gained by events", np.concatenate(releases)),
        mean("all event steps: nats per candle gained by events", np.concatenate(events)),
        mean("other steps: nats per candle gained by events", np.concatenate(others)),
    ]


class _CandleCounts:
    """Counts of s1 after s1 and of s2 after its s1, as baselines of the likelihood of a candle's tokens."""

    def __init__(self, tokenizer: KronosTokenizer, training: Sequence[Stretch], price_limit: float) -> None:
        sampler = Sampler(training, WINDOW, _ROWS, seed=0, price_limit=price_limit)
        previous_s1, next_s1, next_s2 = [], [], []
        with torch.no_grad():
            for batch in sampler.fixed(COUNTED // _ROWS):
                s1, s2 = tokenizer.encode(batch.values)
                previous_s1.append(s1[:, :-1][batch.future].numpy())
                next_s1.append(s1[:, 1:][batch.future].numpy())
                next_s2.append(s2[:, 1:][batch.future].numpy())
        s1_size, s2_size = 2**tokenizer.config.s1_bits, 2**tokenizer.config.s2_bits
        first = np.concatenate(next_s1)
        self.s1 = TokenCounts.of(np.concatenate(previous_s1), first, s1_size, s1_size)
        self.s2 = TokenCounts.of(first, np.concatenate(next_s2), s1_size, s2_size)

    def unigram_nll(self, s1: Int64Array, s2: Int64Array) -> Float64Array:
        """Return the mean nats per token after the cut: (rows, L) tokens to (rows,)."""
        candle_nll = self.s1.unigram_nll(s1[:, CUT:]) + self.s2.unigram_nll(s2[:, CUT:])
        return np.asarray((candle_nll / 2).mean(axis=1))

    def bigram_nll(self, s1: Int64Array, s2: Int64Array) -> Float64Array:
        """Return the mean nats per token after the cut: (rows, L) tokens to (strengths, rows)."""
        previous, first, second = s1[:, CUT - 1 : -1], s1[:, CUT:], s2[:, CUT:]
        candle_nll = np.stack(
            [
                self.s1.bigram_nll(previous, first, strength) + self.s2.bigram_nll(first, second, strength)
                for strength in STRENGTHS
            ]
        )
        return np.asarray((candle_nll / 2).mean(axis=2))


def _grouped(windows: Sequence[Batch]) -> list[Batch]:
    return [stack(windows[i : i + _ROWS]) for i in range(0, len(windows), _ROWS)]
