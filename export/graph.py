"""The decoder as it is exported: cached attention, both heads and sampling in one step graph.

Prefill and step are the same graph: S new tokens per row are appended to the row's key/value cache
and one pair of tokens is drawn after the last of them. Rows may hold different lengths; short rows
are padded on the right and their padding is overwritten by later tokens.

What a candle's time and events add to its token embedding depends on the job and the candle alone, so
it is an input, *conditioning*, that is computed once a job: the graph only gathers rows of it. A job
without events gives the time embedding, which is the base model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx import ops

from export.attention import CachedAttention, CachedDependency, padded_head_dim
from export.caches import Cache, HistoryCache, Scales, SharedPrefixCache, StepCache
from export.functions import SAMPLE
from export.fused import FusedFeedForward, PairEmbedding, add_and_norm, take_last
from export.model.adapter import Adapter, LowRank
from export.model.decoder import DEPENDENCY_HEADS, KronosDecoder
from export.model.layers import RMSNorm, TransformerBlock
from export.sampling import sample
from inference_server.engine.bundle import EIGHT_BITS, CacheLayout

LOWEST = torch.finfo(torch.float32).min  # added to a score it leaves the token no weight


def cache_layouts(decoder: KronosDecoder, precision: str) -> list[CacheLayout]:
    """Cache layouts of every transformer block and, last, of the dependency layer.

    The dependency layer's are never 8-bit: a value that is no number would be lost in them, and that layer
    sees every hidden state.
    """
    c = decoder.config
    block = CacheLayout(c.n_heads, padded_head_dim(c.head_dim), EIGHT_BITS if precision == "int8" else None)
    return [block] * c.n_layers + [CacheLayout(DEPENDENCY_HEADS, c.d_model // DEPENDENCY_HEADS)]


@dataclass(frozen=True)
class Layout:
    """How the graph is laid out for the device that runs it; the arithmetic is the same.

    Attributes
    ----------
    pad_weights
        Pad heads in the weights: a GPU's attention kernel needs it, and the weights to read, which are a few
        percent more then, are not what its step waits for.
    break_ties
        Order equal logits by index before they are sorted. A CPU's sort does that by itself; a GPU's does
        not, and logits in half precision are often equal.
    """

    pad_weights: bool = False
    break_ties: bool = False


def layout_of(precision: str) -> Layout:
    """Half precision is laid out for a GPU."""
    return Layout(pad_weights=precision == "fp16", break_ties=precision == "fp16")


class CachedBlock(nn.Module):
    """One transformer block; ends with the norm that comes next, fused with its last addition."""

    ffn_bias: Tensor  # zeros

    def __init__(
        self,
        source: TransformerBlock,
        next_norm: RMSNorm,
        max_context: int,
        updates: dict[str, LowRank],
        pad_weights: bool,
        scales: Scales | None,
    ) -> None:
        super().__init__()
        self.norm2, self.next_norm = source.norm2, next_norm
        self.self_attn = CachedAttention(source.self_attn, max_context, updates, pad_weights, scales)
        self.ffn = FusedFeedForward(source.ffn)
        self.register_buffer("ffn_bias", torch.zeros_like(source.norm2.weight))

    def forward(self, normed: Tensor, x: Tensor, cache: Cache, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take norm1(x) and x, both (B, S, d); return next_norm(y) and y of this block's output y."""
        attended = self.self_attn(normed, cache, gate)
        normed, x = add_and_norm(x, attended, self.norm2.weight, self.self_attn.out_bias)
        return add_and_norm(x, self.ffn(normed), self.next_norm.weight, self.ffn_bias)


class DecoderGraph(nn.Module):
    """KronosDecoder with caches and sampling, as exported to `decoder.onnx`."""

    def __init__(
        self,
        decoder: KronosDecoder,
        max_context: int,
        adapter: Adapter | None = None,
        layout: Layout = Layout(),
        scales: Sequence[Scales] | None = None,
    ) -> None:
        super().__init__()
        updates = adapter.updates if adapter else {}
        self.embedding, self.head = PairEmbedding(decoder.embedding), decoder.head
        self.break_ties = layout.break_ties
        blocks = decoder.blocks
        self.first_norm = blocks[0].norm1
        next_norms = [block.norm1 for block in blocks[1:]] + [decoder.norm]
        self.blocks = nn.ModuleList(
            CachedBlock(
                block,
                next_norm,
                max_context,
                updates.get(f"transformer.{i}.self_attn", {}),
                layout.pad_weights,
                None if scales is None else scales[i],
            )
            for i, (block, next_norm) in enumerate(zip(blocks, next_norms, strict=True))
        )
        self.dep_layer = CachedDependency(decoder, updates.get("dep_layer.cross_attn", {}))

    def hidden(
        self,
        s1: Tensor,
        s2: Tensor,
        position: Tensor,
        conditioning: Tensor,
        cache: Cache,
        adapter_gate: Tensor | None,
    ) -> Tensor:
        """Normalised hidden states (B, S, d_model) of new tokens; see `forward`."""
        added = F.embedding(position, conditioning)
        hidden, x = add_and_norm(self.embedding(s1, s2), added, self.first_norm.weight, self.embedding.bias)
        for block in self.blocks:
            hidden, x = block(hidden, x, cache, adapter_gate)
        normed: Tensor = hidden
        return normed

    def forward(
        self,
        s1: Tensor,
        s2: Tensor,
        position: Tensor,
        conditioning: Tensor,
        last_index: Tensor,
        seqlens_k: Tensor,
        total_sequence_length: Tensor,
        uniform: Tensor,
        temperature: Tensor,
        top_k: Tensor,
        top_p: Tensor,
        past: Sequence[tuple[Tensor, Tensor]],
        adapter_gate: Tensor | None = None,
        prefix: Sequence[tuple[Tensor, Tensor]] | None = None,
    ) -> tuple[Tensor, ...]:
        """Append S tokens per row and draw the next pair.

        Parameters
        ----------
        s1, s2
            New tokens, (B, S), int64, padded on the right.
        position
            The row of `conditioning` that belongs to each new token, (B, S), int64.
        conditioning
            Time embedding, plus event embedding where a job has events, of candles of any jobs: (N, d_model),
            in the precision of the graph.
        last_index
            Column of each row's last valid new token, (B, 1), int64.
        seqlens_k
            Tokens in each row's cache after this call, less one, (B,), int32.
        total_sequence_length
            The largest number of tokens in a cache after this call, (1,), int32.
        uniform
            The draws of s1 and s2, (B, 2), in [0, 1).
        temperature, top_k, top_p
            (B, 1) each.
        past
            Key and value cache of every layer, (B, heads, max_context, head_dim).
        adapter_gate
            1 on the rows whose adapter acts, else 0, (B, 1, 1), in the precision of the graph; only a graph
            with an adapter has this input.
        prefix
            Keys and values of J histories, (J, heads, P, head_dim): the first B / J rows continue the first
            one, and so on. `past` then holds what follows the history, equally much of each row; S may be
            above 1 where that is nothing.

        Returns
        -------
        tuple of Tensor
            s1, s2 (B, 1); s1_logits, s2_logits (B, V) float32; the present caches.
        """
        cache: Cache = StepCache(seqlens_k, total_sequence_length, past, [])
        if prefix is not None:
            place = seqlens_k[:, None] + torch.arange(s1.shape[1]) - (s1.shape[1] - 1)
            position_of_token = place + prefix[0][0].shape[2]
            mask = causal_mask(place[0], total_sequence_length, past[0][0].shape[2])
            cache = SharedPrefixCache(
                seqlens_k, total_sequence_length, prefix, past, position_of_token, mask, []
            )
        hidden = self.hidden(s1, s2, position, conditioning, cache, adapter_gate)
        last = take_last(hidden, last_index)
        s1_logits = self.head.proj_s1(last).squeeze(1).float()
        settings = temperature, top_k, top_p
        next_s1 = self._drawn(s1_logits, *settings, uniform[:, :1])
        s1_embedding = self.embedding.emb_s1(next_s1)
        paired = self.dep_layer(hidden, last, s1_embedding, last_index, cache, adapter_gate)
        s2_logits = self.head.proj_s2(paired).squeeze(1).float()
        next_s2 = self._drawn(s2_logits, *settings, uniform[:, 1:])
        return (next_s1, next_s2, s1_logits, s2_logits, *cache.present)

    def _drawn(
        self, logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, uniform: Tensor
    ) -> Tensor:
        if self.break_ties:
            return sample(logits, temperature, top_k, top_p, uniform, break_ties=True)
        inputs = [logits, temperature, top_k, top_p, uniform]
        return ops.symbolic(
            SAMPLE.qualified, inputs, dtype=torch.int64, shape=[logits.shape[0], 1], version=1
        )


class HistoryGraph(nn.Module):
    """The keys and values of a history that is taken in at once; nothing is drawn."""

    def __init__(self, step: DecoderGraph) -> None:
        super().__init__()
        self.step = step

    def forward(
        self,
        s1: Tensor,
        s2: Tensor,
        position: Tensor,
        conditioning: Tensor,
        adapter_gate: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the caches of S tokens, (1, heads, S, head_dim) each; see `DecoderGraph.forward`."""
        place = torch.arange(s1.shape[1])
        mask = torch.where(place[None] > place[:, None], LOWEST, 0.0)
        cache = HistoryCache(mask, [])
        hidden = self.step.hidden(s1, s2, position, conditioning, cache, adapter_gate)
        layer = self.step.dep_layer
        cache.keep(*layer.keys_values(hidden, adapter_gate), layer.kind.heads)
        return tuple(cache.present)


def causal_mask(place: Tensor, total: Tensor, capacity: int) -> Tensor:
    """0 where a token at place (S,) may attend to a token of its row, (S, T), T being `total` (1,)."""
    column = ops.symbolic(
        "Range",
        [torch.tensor(0), total.to(torch.int64).squeeze(0), torch.tensor(1)],
        dtype=torch.int64,
        shape=[capacity],
    )
    return torch.where(column[None] > place[:, None], LOWEST, 0.0)
