"""Computes the decoder's objective: cross-entropy of both tokens of the next candle, as inference runs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from export.model.decoder import KronosDecoder


@dataclass(frozen=True)
class Nll:
    """Negative log-likelihood of the next candle's tokens in nats, each (B, L - 1)."""

    s1: Tensor
    s2: Tensor

    @property
    def candle(self) -> Tensor:
        """Of the candle, which is the pair of tokens."""
        return self.s1 + self.s2


def token_nll(
    decoder: KronosDecoder, s1: Tensor, s2: Tensor, stamp: Tensor, event_embedding: Tensor | None = None
) -> Nll:
    """Return the negative log-likelihood of every token but the first, given those before it.

    Parameters
    ----------
    s1, s2
        (B, L) int64.
    stamp
        (B, L, 5) int64, of the same candles.
    event_embedding
        (B, L, d_model), aligned with the tokens, or None for the base model.
    """
    inputs = None if event_embedding is None else event_embedding[:, :-1]
    hidden = decoder.hidden(s1[:, :-1], s2[:, :-1], stamp[:, :-1], inputs)
    return Nll(
        _nll(decoder.s1_logits(hidden), s1[:, 1:]), _nll(s2_logits(decoder, hidden, s1[:, 1:]), s2[:, 1:])
    )


def s2_logits(decoder: KronosDecoder, hidden: Tensor, next_s1: Tensor) -> Tensor:
    """Return logits of s2 after each position, given the s1 of the same candle: (B, S) to (B, S, 2^s2_bits).

    `KronosDecoder.s2_logits` for every prefix at once: the query of position t is the embedding of the s1
    that follows it, its keys are the hidden states up to t, and nothing is rotated. Inference computes the
    last position alone, where all keys are up to t as well.
    """
    layer = decoder.dep_layer
    attention = layer.cross_attn
    query = attention.heads(attention.q_proj(decoder.embedding.emb_s1(next_s1)))
    key, value = attention.heads(attention.k_proj(hidden)), attention.heads(attention.v_proj(hidden))
    out: Tensor = decoder.head.proj_s2(layer.norm(hidden + attention.attend(query, key, value, causal=True)))
    return out


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of (B, S) values; 0 where all weights are 0."""
    weights = weights.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def _nll(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
