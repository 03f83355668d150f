"""How likely a checkpoint finds candles that it never saw, beside counts of tokens and of pairs of tokens."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from export.model.checkpoint import Checkpoint
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder
from export.model.tokenizer import KronosTokenizer
from market.event_channels import channels
from market.types import Float64Array, Int64Array
from training.data.stretches import Stretch
from training.data.windows import Batch, Sampler, cut_window, stack
from training.evaluation.baselines import STRENGTHS, TokenCounts
from training.evaluation.bootstrap import Figure, mean
from training.objective import token_nll

WINDOW: Final = 512
CUT: Final = 256
COUNTED: Final = 600  # windows of the training period that the baselines count
_ROWS: Final = 8
_RELEASES: Final = channels("is_fomc", "is_cpi", "is_nfp")


def held_out_windows(stretches: Sequence[Stretch], start: np.datetime64) -> list[Batch]:
    """Windows of `WINDOW` candles whose future begins at `start` or later; no candle is scored twice."""
    found = []
    for each in stretches:
        first = max(0, int(np.searchsorted(each.timestamps, start)) - CUT)
        places = range(first, len(each) - WINDOW + 1, WINDOW - CUT)
        found += [cut_window(each, place, WINDOW, CUT) for place in places]
    return found


def likelihood_figures(
    checkpoint: Checkpoint, training: Sequence[Stretch], windows: Sequence[Batch]
) -> list[Figure]:
    """Nats per token of the model, and how much less they are than the baselines'.

    The unigram knows how often a token stands; the bigram predicts s1 from the s1 before and s2 from its own
    s1. Both count candles after the cut of windows drawn from the training period.
    """
    tokenizer = checkpoint.tokenizer
    ours, baselines = [], _Baselines(tokenizer, training)
    single, pairs = [], []
    with torch.no_grad():
        for batch in _grouped(windows):
            s1, s2 = tokenizer.encode(batch.values)
            scored = token_nll(checkpoint.decoder, s1, s2, batch.stamp)
            ours.append((scored.candle / 2)[:, CUT - 1 :].mean(dim=1).double().numpy())
            one, two = baselines.score(s1.numpy(), s2.numpy())
            single.append(one)
            pairs.append(two)
    model, unigram = np.concatenate(ours), np.concatenate(single)
    per_strength = np.concatenate(pairs, axis=1)
    bigram = per_strength[per_strength.mean(axis=1).argmin()]
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
    """Nats per candle without events less those with events, on release steps and on the others.

    Parameters
    ----------
    adapted, encoder
        The decoder with its adapter merged, and the EventEncoder.
    """
    gains: dict[str, list[Float64Array]] = {"releases": [], "events": [], "others": []}
    with torch.no_grad():
        for batch in _grouped(windows):
            assert batch.events is not None
            assert batch.event_steps is not None
            s1, s2 = checkpoint.tokenizer.encode(batch.values)
            base = token_nll(checkpoint.decoder, s1, s2, batch.stamp).candle
            told = token_nll(adapted, s1, s2, batch.stamp, encoder(batch.events)).candle
            gain = (base - told).double()
            # A token carries the schedule of the candle that it predicts.
            release = batch.events[:, :-1, _RELEASES].any(dim=-1) & batch.future
            event = batch.event_steps[:, 1:] & batch.future
            for name, mask in (("releases", release), ("events", event), ("others", batch.future & ~event)):
                gains[name].append(gain[mask].numpy())
    found = {name: np.concatenate(parts) for name, parts in gains.items()}
    return [
        mean("FOMC, CPI, NFP steps: nats per candle gained by events", found["releases"]),
        mean("all event steps: nats per candle gained by events", found["events"]),
        mean("other steps: nats per candle gained by events", found["others"]),
    ]


class _Baselines:
    """Counts of s1 after s1 and of s2 after its s1."""

    def __init__(self, tokenizer: KronosTokenizer, training: Sequence[Stretch]) -> None:
        sampler = Sampler(training, WINDOW, _ROWS, seed=0)
        before, first, second = [], [], []
        with torch.no_grad():
            for batch in sampler.fixed(COUNTED // _ROWS):
                s1, s2 = tokenizer.encode(batch.values)
                before.append(s1[:, :-1][batch.future].numpy())
                first.append(s1[:, 1:][batch.future].numpy())
                second.append(s2[:, 1:][batch.future].numpy())
        sizes = 2**tokenizer.config.s1_bits, 2**tokenizer.config.s2_bits
        before_s1, s1_, s2_ = (np.concatenate(parts) for parts in (before, first, second))
        self.s1 = TokenCounts.of(before_s1, s1_, sizes[0], sizes[0])
        self.s2 = TokenCounts.of(s1_, s2_, sizes[0], sizes[1])

    def score(self, s1: Int64Array, s2: Int64Array) -> tuple[Float64Array, Float64Array]:
        """Mean nats per token after the cut: (rows,) of the unigram, (strengths, rows) of the bigram."""
        before, first, second = s1[:, CUT - 1 : -1], s1[:, CUT:], s2[:, CUT:]
        single = (self.s1.unigram_nll(first) + self.s2.unigram_nll(second)) / 2
        pairs = [
            (self.s1.bigram_nll(before, first, strength) + self.s2.bigram_nll(first, second, strength)) / 2
            for strength in STRENGTHS
        ]
        return single.mean(axis=1), np.stack(pairs).mean(axis=2)


def _grouped(windows: Sequence[Batch]) -> list[Batch]:
    return [stack(windows[i : i + _ROWS]) for i in range(0, len(windows), _ROWS)]
