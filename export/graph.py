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

from export.caches import Cache, HistoryCache, Scales, SharedPrefixCache, StepCache
from export.model.adapter import Adapter, LowRank
from export.model.decoder import DEPENDENCY_HEADS, KronosDecoder, TokenEmbedding
from export.model.layers import RMS_EPS, Attention, FeedForward, RMSNorm, TransformerBlock
from export.sampling import sample
from inference_server.engine.bundle import EIGHT_BITS, CacheLayout

LOWEST = torch.finfo(torch.float32).min  # added to a score it leaves the token no weight
ROTARY_MULTIPLE = 16  # the attention kernels take rotary halves that are multiples of 16 columns


def padded_head_dim(head_dim: int) -> int:
    """Head size after padding: Kronos-base's 52 columns become 64."""
    half = head_dim // 2
    return 2 * (-(-half // ROTARY_MULTIPLE) * ROTARY_MULTIPLE)


def cache_layouts(decoder: KronosDecoder, precision: str) -> list[CacheLayout]:
    """Cache layouts of every transformer block and, last, of the dependency layer.

    The dependency layer's are never 8-bit: a value that is no number would be lost in them, and that layer
    sees every hidden state.
    """
    c = decoder.config
    block = CacheLayout(c.n_heads, padded_head_dim(c.head_dim), EIGHT_BITS if precision == "int8" else None)
    return [block] * c.n_layers + [CacheLayout(DEPENDENCY_HEADS, c.d_model // DEPENDENCY_HEADS)]


def _low_rank(updates: dict[str, LowRank]) -> tuple[Tensor, Tensor] | None:
    """Stack the updates of q and v into one product before and one after: a (R, d), b (3d, R)."""
    if not updates:
        return None
    width = next(iter(updates.values())).b.shape[0]
    ordered = [(("q_proj", "k_proj", "v_proj").index(name), update) for name, update in updates.items()]
    a = torch.cat([update.a for _, update in ordered])
    b = torch.zeros(3 * width, a.shape[0])
    column = 0
    for place, update in ordered:
        rank = update.a.shape[0]
        b[place * width : (place + 1) * width, column : column + rank] = update.b
        column += rank
    return a, b


@dataclass(frozen=True)
class Layout:
    """How the graph is laid out for the device that runs it; the arithmetic is the same.

    Attributes
    ----------
    pad_weights
        Pad heads once, in the weights, instead of at every run: fewer kernels, which is what a GPU's step
        waits for, and a few percent more weights to read, which is what a CPU's step waits for.
    break_ties
        Order equal logits by index before they are sorted. A CPU's sort does that by itself; a GPU's does
        not, and logits in half precision are often equal.
    """

    pad_weights: bool = False
    break_ties: bool = False


def layout_of(precision: str) -> Layout:
    """Half precision is laid out for a GPU; 8-bit weights take so little that padding costs nothing."""
    return Layout(pad_weights=precision != "fp32", break_ties=precision == "fp16")


class CachedAttention(nn.Module):
    """Causal self-attention over a cache that is updated in place (contrib op GroupQueryAttention).

    The head is padded with zero columns where the kernel needs it, each rotary half by itself, so
    dot products, rotation and scale stay those of the unpadded head. The bias of the output projection is
    left to the addition that follows, which has an input for it.
    """

    def __init__(
        self,
        source: Attention,
        max_context: int,
        updates: dict[str, LowRank],
        pad_weights: bool,
        scales: Scales | None,
    ) -> None:
        super().__init__()
        self.n_heads, width = source.n_heads, source.q_proj.in_features
        self.head_dim = width // self.n_heads
        padding = padded_head_dim(self.head_dim) // 2 - self.head_dim // 2
        cos, sin = source.rotary.angles(torch.arange(max_context))
        self.register_buffer("cos", F.pad(cos, (0, padding), value=1.0))
        self.register_buffer("sin", F.pad(sin, (0, padding)))
        projections = (source.q_proj, source.k_proj, source.v_proj)
        weight, bias = (torch.cat([getattr(p, name) for p in projections]) for name in ("weight", "bias"))
        out, low_rank = source.out_proj.weight, _low_rank(updates)
        if padding and pad_weights:
            weight, bias = (self._padded(t, padding) for t in (weight, bias))
            out = self._padded(out.T, padding).T
            if low_rank is not None:
                low_rank = low_rank[0], self._padded(low_rank[1], padding)
        self.padding = 0 if pad_weights else padding  # of activations, at every run
        self.qkv = nn.Linear(width, len(weight))
        self.qkv.weight, self.qkv.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.out_proj = nn.Linear(out.shape[1], width, bias=False)
        self.out_proj.weight = nn.Parameter(out.contiguous())
        self.out_bias = source.out_proj.bias
        self.adapted = low_rank is not None
        if low_rank is not None:
            self.lora_a, self.lora_b = nn.Parameter(low_rank[0]), nn.Parameter(low_rank[1])
        self.rounded = scales is not None
        if scales is not None:
            self.register_buffer("key_scale", scales.key)
            self.register_buffer("value_scale", scales.value)

    def _padded(self, rows: Tensor, padding: int) -> Tensor:
        """Put zero rows behind each rotary half of each head: (heads · head_dim, …)."""
        halves = rows.reshape(-1, self.head_dim // 2, *rows.shape[1:])
        zeros = halves.new_zeros(len(halves), padding, *rows.shape[1:])
        return torch.cat([halves, zeros], dim=1).flatten(0, 1)

    def _pad(self, packed: Tensor) -> Tensor:
        if not self.padding:
            return packed
        halves = packed.reshape(*packed.shape[:2], 3 * self.n_heads, 2, self.head_dim // 2)
        return F.pad(halves, (0, self.padding)).flatten(2)

    def _unpad(self, joined: Tensor) -> Tensor:
        if not self.padding:
            return joined
        half = self.head_dim // 2
        halves = joined.reshape(*joined.shape[:2], self.n_heads, 2, half + self.padding)
        return halves[..., :half].flatten(2)

    def forward(self, x: Tensor, cache: Cache, gate: Tensor | None) -> Tensor:
        """Append x (B, S, d) to the cache and attend; (B, S, d), without the output's bias."""
        packed = self.qkv(x)
        if self.adapted and gate is not None:
            packed = packed + gate * F.linear(F.linear(x, self.lora_a), self.lora_b)
        packed = self._pad(packed)
        size = packed.shape[-1] // 3
        out = cache.attend(
            [packed, None, None],
            size,
            heads=self.n_heads,
            scale=self.head_dim**-0.5,
            rotary=(self.cos, self.sin),  # type: ignore[arg-type]
            scales=Scales(self.key_scale, self.value_scale) if self.rounded else None,  # type: ignore[arg-type]
        )
        projected: Tensor = self.out_proj(self._unpad(out))
        return projected


class FusedFeedForward(nn.Module):
    """SwiGLU with its two input products as one."""

    def __init__(self, source: FeedForward) -> None:
        super().__init__()
        w1, w3 = source.w1.weight, source.w3.weight
        self.w13 = nn.Linear(w1.shape[1], 2 * w1.shape[0], bias=False)
        self.w13.weight = nn.Parameter(torch.cat([w1, w3]))
        self.w2 = source.w2

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d) to (..., d)."""
        gate, up = self.w13(x).chunk(2, dim=-1)
        out: Tensor = self.w2(F.silu(gate) * up)
        return out


def add_and_norm(
    x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """RMSNorm(x + skip + bias) and x + skip + bias, in one kernel."""
    normed, _, _, total = ops.symbolic_multi_out(
        "com.microsoft::SkipSimplifiedLayerNormalization",
        [x, skip, weight] if bias is None else [x, skip, weight, bias],
        {"epsilon": RMS_EPS},
        dtypes=[x.dtype, torch.float32, torch.float32, x.dtype],
        shapes=[x.shape, [*x.shape[:-1], 1], [*x.shape[:-1], 1], x.shape],
        version=1,
    )
    return normed, total


def take_last(x: Tensor, last_index: Tensor) -> Tensor:
    """Column last_index (B, 1) of each row of x (B, S, d): (B, 1, d)."""
    return ops.symbolic(
        "GatherND",
        [x, last_index.unsqueeze(-1)],
        {"batch_dims": 1},
        dtype=x.dtype,
        shape=[x.shape[0], 1, x.shape[2]],
    )


class PairEmbedding(nn.Module):
    """TokenEmbedding without its bias, which the addition that follows takes; √d stands in the weights."""

    def __init__(self, source: TokenEmbedding) -> None:
        super().__init__()
        self.emb_s1, self.emb_s2 = source.emb_s1, source.emb_s2
        fusion = source.fusion_proj
        self.fusion_proj = nn.Linear(fusion.in_features, fusion.out_features, bias=False)
        self.fusion_proj.weight = nn.Parameter(fusion.weight * source.scale)
        self.bias = fusion.bias

    def forward(self, s1: Tensor, s2: Tensor) -> Tensor:
        """(B, S) tokens to (B, S, d_model)."""
        out: Tensor = self.fusion_proj(torch.cat([self.emb_s1(s1), self.emb_s2(s2)], dim=-1))
        return out


class CachedBlock(nn.Module):
    """One transformer block; ends with the norm that comes next, fused with its last addition."""

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

    def forward(self, normed: Tensor, x: Tensor, cache: Cache, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take norm1(x) and x, both (B, S, d); return next_norm(y) and y of this block's output y."""
        attended = self.self_attn(normed, cache, gate)
        normed, x = add_and_norm(x, attended, self.norm2.weight, self.self_attn.out_bias)
        return add_and_norm(x, self.ffn(normed), self.next_norm.weight)


class CachedDependency(nn.Module):
    """The dependency layer: keys and values of every position are cached, one query attends.

    Upstream rotates nothing here (its rotary table has one row at inference), so neither does this.
    """

    def __init__(self, decoder: KronosDecoder, updates: dict[str, LowRank]) -> None:
        super().__init__()
        source = decoder.dep_layer.cross_attn
        width = source.q_proj.in_features
        self.q_proj, self.norm = source.q_proj, decoder.dep_layer.norm
        self.out_proj = nn.Linear(width, width, bias=False)
        self.out_proj.weight, self.out_bias = source.out_proj.weight, source.out_proj.bias
        self.kv = nn.Linear(width, 2 * width)
        self.kv.weight = nn.Parameter(torch.cat([source.k_proj.weight, source.v_proj.weight]))
        self.kv.bias = nn.Parameter(torch.cat([source.k_proj.bias, source.v_proj.bias]))
        self.scale = (width // DEPENDENCY_HEADS) ** -0.5
        self.updates = nn.ParameterDict()
        for name, update in updates.items():
            self.updates[f"{name}_a"] = nn.Parameter(update.a)
            self.updates[f"{name}_b"] = nn.Parameter(update.b)

    def _adapt(self, projected: Tensor, x: Tensor, name: str, gate: Tensor | None) -> Tensor:
        if gate is None or f"{name}_a" not in self.updates:
            return projected
        return projected + gate * F.linear(F.linear(x, self.updates[f"{name}_a"]), self.updates[f"{name}_b"])

    def keys_values(self, hidden: Tensor, gate: Tensor | None) -> tuple[Tensor, Tensor]:
        """Keys and values of hidden states (B, S, d), (B, S, d) each."""
        key, value = self.kv(hidden).chunk(2, dim=-1)
        return key, self._adapt(value, hidden, "v_proj", gate)

    def forward(
        self,
        hidden: Tensor,
        last: Tensor,
        s1_embedding: Tensor,
        last_index: Tensor,
        cache: Cache,
        gate: Tensor | None,
    ) -> Tensor:
        """Hidden states (B, S, d), the last valid one (B, 1, d) and its s1 embedding (B, 1, d): (B, 1, d)."""
        query = self._adapt(self.q_proj(s1_embedding), s1_embedding, "q_proj", gate)
        key, value = self.keys_values(hidden, gate)
        # The kernel takes one query per new position. Every position gets the same one; only the last valid
        # position's answer is used.
        out = cache.attend(
            [query.expand_as(hidden), key, value],
            hidden.shape[-1],
            heads=DEPENDENCY_HEADS,
            scale=self.scale,
            rotary=None,
        )
        attended = self.out_proj(take_last(out, last_index))
        normed, _ = add_and_norm(last, attended, self.norm.weight, self.out_bias)
        return normed


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
        next_s1 = sample(s1_logits, temperature, top_k, top_p, uniform[:, :1], break_ties=self.break_ties)
        s1_embedding = self.embedding.emb_s1(next_s1)
        paired = self.dep_layer(hidden, last, s1_embedding, last_index, cache, adapter_gate)
        s2_logits = self.head.proj_s2(paired).squeeze(1).float()
        next_s2 = sample(s2_logits, temperature, top_k, top_p, uniform[:, 1:], break_ties=self.break_ties)
        return (next_s1, next_s2, s1_logits, s2_logits, *cache.present)


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
        """Return the caches of S tokens, (1, heads, S, head_dim) each; see `DecoderGraph.forward`.

        Behind the present caches are those that are 8-bit there once more, in float32.
        """
        place = torch.arange(s1.shape[1])
        cache = HistoryCache(torch.where(place[None] > place[:, None], LOWEST, 0.0), [], [])
        hidden = self.step.hidden(s1, s2, position, conditioning, cache, adapter_gate)
        cache.keep(*self.step.dep_layer.keys_values(hidden, adapter_gate), DEPENDENCY_HEADS)
        return (*cache.present, *cache.exact)


def causal_mask(place: Tensor, total: Tensor, capacity: int) -> Tensor:
    """0 where a token at place (S,) may attend to a token of its row, (S, T), T being `total` (1,)."""
    column = ops.symbolic(
        "Range",
        [torch.tensor(0), total.to(torch.int64).squeeze(0), torch.tensor(1)],
        dtype=torch.int64,
        shape=[capacity],
    )
    return torch.where(column[None] > place[:, None], LOWEST, 0.0)
