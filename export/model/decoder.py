"""Defines the Kronos decoder in torch: token pairs and time stamps to logits of the next pair.

Bundles are verified against this module; `export.graph` is the same model as it is exported, with a
key/value cache and sampling.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from export.model.config import DecoderConfig
from export.model.layers import Attention, RMSNorm, TransformerBlock

DEPENDENCY_HEADS = 4  # upstream's dependency layer has 4 heads whatever the model has
TIME_FIELDS = (("minute", 60), ("hour", 24), ("weekday", 7), ("day", 32), ("month", 13))


class TokenEmbedding(nn.Module):
    """fusion_proj([emb_s1 · √d, emb_s2 · √d])."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        d = config.d_model
        self.emb_s1 = nn.Embedding(2**config.s1_bits, d)
        self.emb_s2 = nn.Embedding(2**config.s2_bits, d)
        self.fusion_proj = nn.Linear(2 * d, d)
        self.scale = math.sqrt(d)

    def forward(self, s1: Tensor, s2: Tensor) -> Tensor:
        """(B, S) tokens to (B, S, d_model)."""
        pair = torch.cat([self.emb_s1(s1) * self.scale, self.emb_s2(s2) * self.scale], dim=-1)
        out: Tensor = self.fusion_proj(pair)
        return out


class TimeEmbedding(nn.Module):
    """Sum of the learned embeddings of a candle's minute, hour, weekday, day and month."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        for name, size in TIME_FIELDS:
            self.add_module(f"{name}_embed", nn.Embedding(size, d_model))

    def forward(self, stamp: Tensor) -> Tensor:
        """(B, S, 5) integers in the order of `TIME_FIELDS` to (B, S, d_model)."""
        minute, hour, weekday, day, month = (
            self.get_submodule(f"{name}_embed")(stamp[..., i]) for i, (name, _) in enumerate(TIME_FIELDS)
        )
        # Upstream's order of addition: float addition is not associative.
        total: Tensor = hour + weekday + day + month + minute
        return total


class DependencyLayer(nn.Module):
    """Conditions s2 on s1: attention with the s1 embedding as its query over the hidden states."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.cross_attn = Attention(d_model, DEPENDENCY_HEADS)
        self.norm = RMSNorm(d_model)

    def forward(self, hidden: Tensor, s1_embedding: Tensor) -> Tensor:
        """Hidden states (B, S, d) and the last position's s1 embedding (B, 1, d) to (B, 1, d).

        As upstream runs it at inference: one query, no rotation, not causal, and the last hidden state as
        the residual.
        """
        attention = self.cross_attn
        query = attention.heads(attention.q_proj(s1_embedding))
        key, value = attention.heads(attention.k_proj(hidden)), attention.heads(attention.v_proj(hidden))
        out: Tensor = self.norm(hidden[:, -1:] + attention.attend(query, key, value, causal=False))
        return out


class DualHead(nn.Module):
    """One linear head for each of the two tokens."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.proj_s1 = nn.Linear(config.d_model, 2**config.s1_bits)
        self.proj_s2 = nn.Linear(config.d_model, 2**config.s2_bits)


class KronosDecoder(nn.Module):
    """Token embedding + time embedding (+ event embedding), transformer, two heads."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.token_drop = nn.Dropout(config.token_dropout_p)
        self.embedding = TokenEmbedding(config)
        self.time_emb = TimeEmbedding(config.d_model)
        self.transformer = nn.ModuleList(
            TransformerBlock(
                config.d_model,
                config.n_heads,
                config.ff_dim,
                config.ffn_dropout_p,
                config.attn_dropout_p,
                config.resid_dropout_p,
            )
            for _ in range(config.n_layers)
        )
        self.norm = RMSNorm(config.d_model)
        self.dep_layer = DependencyLayer(config.d_model)
        self.head = DualHead(config)

    @property
    def blocks(self) -> Sequence[TransformerBlock]:
        """The transformer blocks, with their type."""
        return list(self.transformer)  # type: ignore[arg-type]

    def hidden(self, s1: Tensor, s2: Tensor, stamp: Tensor, event_embedding: Tensor | None = None) -> Tensor:
        """Normalised hidden states (B, S, d_model) of tokens (B, S) with stamps (B, S, 5)."""
        x = self.embedding(s1, s2) + self.time_emb(stamp)
        if event_embedding is not None:
            x = x + event_embedding
        x = self.token_drop(x)
        for block in self.transformer:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def s1_logits(self, hidden: Tensor) -> Tensor:
        """(B, S, d_model) to (B, S, 2^s1_bits)."""
        out: Tensor = self.head.proj_s1(hidden)
        return out

    def s2_logits(self, hidden: Tensor, s1: Tensor) -> Tensor:
        """Logits (B, 1, 2^s2_bits) of the pair whose first token is s1 (B, 1), after hidden (B, S, d)."""
        out: Tensor = self.head.proj_s2(self.dep_layer(hidden, self.embedding.emb_s1(s1)))
        return out
