"""The attention layers of the exported graph: products joined, heads padded, caches updated in place."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.caches import AttentionKind, Cache, Scales
from export.fused import add_and_norm, take_last
from export.model.adapter import LowRank
from export.model.decoder import DEPENDENCY_HEADS, KronosDecoder
from export.model.layers import Attention

ROTARY_MULTIPLE = 16  # the attention kernels take rotary halves that are multiples of 16 columns


def padded_head_dim(head_dim: int) -> int:
    """Head size after padding: Kronos-base's 52 columns become 64."""
    return head_dim + 2 * head_padding(head_dim)


def head_padding(head_dim: int) -> int:
    """Columns of padding behind each rotary half of a head."""
    return -(head_dim // 2) % ROTARY_MULTIPLE


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


class CachedAttention(nn.Module):
    """Causal self-attention over a cache that is updated in place.

    The caches' heads are padded with zero columns where GroupQueryAttention needs it, each rotary half by
    itself, so dot products, rotation and scale stay those of the unpadded head. In half precision that kernel
    runs itself, so the weights are padded. The bias of the output projection is left to the addition that
    follows, which has an input for it.
    """

    cos: Tensor
    sin: Tensor
    key_scale: Tensor
    value_scale: Tensor

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
        padding = head_padding(self.head_dim)
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

    def forward(self, x: Tensor, cache: Cache, gate: Tensor | None) -> Tensor:
        """Append x (B, S, d) to the cache and attend; (B, S, d), without the output's bias."""
        packed = self.qkv(x)
        if self.adapted and gate is not None:
            packed = packed + gate * F.linear(F.linear(x, self.lora_a), self.lora_b)
        scales = Scales(self.key_scale, self.value_scale) if self.rounded else None
        kind = AttentionKind(self.n_heads, self.head_dim**-0.5, (self.cos, self.sin), scales)
        projected: Tensor = self.out_proj(cache.attend([packed, None, None], packed.shape[-1] // 3, kind))
        return projected


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
        self.kind = AttentionKind(DEPENDENCY_HEADS, (width // DEPENDENCY_HEADS) ** -0.5)
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
        out = cache.attend([query.expand_as(hidden), key, value], hidden.shape[-1], self.kind)
        attended = self.out_proj(take_last(out, last_index))
        normed, _ = add_and_norm(last, attended, self.norm.weight, self.out_bias)
        return normed
