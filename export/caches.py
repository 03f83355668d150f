"""Attention in the exported graphs: over a cache per row, behind shared prefixes, or of a history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.onnx import ops

from export.functions import (
    DEPENDENCY_ATTENTION,
    HISTORY_ATTENTION,
    HISTORY_ATTENTION_8,
    PREFIX_ATTENTION,
    PREFIX_ATTENTION_8,
    STEP_ATTENTION,
    STEP_ATTENTION_8,
    Operator,
)

Rotary = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Scales:
    """What a step of an 8-bit number stands for in the key and the value cache, (heads * head_dim,) each."""

    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class AttentionKind:
    """A layer's heads, the factor of its scores, its rotation, and the scales of its 8-bit caches."""

    heads: int
    scale: float
    rotary: Rotary | None = None
    scales: Scales | None = None


@dataclass
class StepCache:
    """The caches of one call: each layer takes its past cache and adds its present one, in layer order."""

    seqlens_k: Tensor
    total: Tensor
    past: Sequence[tuple[Tensor, Tensor]]
    present: list[Tensor]

    def attend(self, qkv: list[Tensor | None], size: int, kind: AttentionKind) -> Tensor:
        """Run GroupQueryAttention for the next layer; (B, S, size)."""
        query = qkv[0]
        assert query is not None
        past = self.past[len(self.present) // 2]
        if kind.rotary is not None and query.dtype == torch.float32:
            operator = STEP_ATTENTION if kind.scales is None else STEP_ATTENTION_8
            given = [query, *past, self.seqlens_k, self.total, *kind.rotary]
            out, *present = _own_operator(operator, given, size, past, kind)
            self.present += present
            return out
        inputs = [*qkv, *past, self.seqlens_k, self.total, *(kind.rotary or ())]
        out, *present = _group_query_attention(inputs, [*query.shape[:2], size], past, kind)
        self.present += present
        return out


@dataclass
class HistoryCache:
    """Attention of a history's S tokens over themselves; its keys and values are the present caches.

    `mask` (S, S) is 0 where a token may attend, and the lowest number of the type elsewhere.
    """

    mask: Tensor
    present: list[Tensor]

    def attend(self, qkv: list[Tensor | None], size: int, kind: AttentionKind) -> Tensor:
        """Attend for the next layer; (1, S, size)."""
        packed = qkv[0]
        assert packed is not None
        assert kind.rotary is not None
        operator, inputs = HISTORY_ATTENTION, [packed, *kind.rotary, self.mask]
        if kind.scales is not None:
            operator, inputs = HISTORY_ATTENTION_8, [*inputs, kind.scales.key, kind.scales.value]
        cache = [1, kind.heads, packed.shape[1], 2 * kind.rotary[0].shape[1]]
        number = packed.dtype if kind.scales is None else torch.int8
        out, *present = ops.symbolic_multi_out(
            operator.qualified,
            inputs,
            {"heads": kind.heads, "scale": kind.scale},
            dtypes=[packed.dtype, number, number],
            shapes=[[*packed.shape[:2], size], cache, cache],
            version=1,
        )
        self.present += present
        return out

    def keep(self, key: Tensor, value: Tensor, heads: int) -> None:
        """Add keys and values (1, S, size) of a layer to the present caches."""
        self.present += [_by_head(key, heads), _by_head(value, heads)]


@dataclass
class SharedPrefixCache:
    """Attention of S new tokens per row over a prefix that many rows share and a suffix of each row's own.

    The B rows are the sample paths of J histories, B / J of each, one history after the other. All suffixes
    are equally long; S may be above 1 where they were empty.

    `mask` (S, T) hides what follows a new token from it, among the T tokens of a suffix.
    """

    seqlens_k: Tensor
    total: Tensor
    prefix: Sequence[tuple[Tensor, Tensor]]
    past: Sequence[tuple[Tensor, Tensor]]
    position: Tensor
    mask: Tensor
    present: list[Tensor]

    def attend(self, qkv: list[Tensor | None], size: int, kind: AttentionKind) -> Tensor:
        """Attend for the next layer; (B, S, size)."""
        layer = len(self.present) // 2
        query, key, value = qkv
        assert query is not None
        given = [*self.past[layer], self.seqlens_k, self.total]
        if kind.rotary is not None:
            operator = PREFIX_ATTENTION if kind.scales is None else PREFIX_ATTENTION_8
            given = [query, *given, *kind.rotary, *self.prefix[layer], self.position, self.mask]
        else:
            assert key is not None
            assert value is not None
            operator = DEPENDENCY_ATTENTION
            given = [torch.cat([query, key, value], dim=-1), *given, *self.prefix[layer], self.mask]
        out, *present = _own_operator(operator, given, size, self.past[layer], kind)
        self.present += present
        return out


Cache = StepCache | SharedPrefixCache | HistoryCache


def _own_operator(
    operator: Operator,
    inputs: Sequence[Tensor],
    size: int,
    past: tuple[Tensor, Tensor],
    kind: AttentionKind,
) -> Sequence[Tensor]:
    """Return attention (B, S, size) by an operator of this project, and the present caches."""
    first = inputs[0]
    if kind.scales is not None:
        inputs = [*inputs, kind.scales.key, kind.scales.value]
    return ops.symbolic_multi_out(
        operator.qualified,
        inputs,
        {"heads": kind.heads, "scale": kind.scale},
        dtypes=[first.dtype, past[0].dtype, past[1].dtype],
        shapes=[[*first.shape[:2], size], past[0].shape, past[1].shape],
        version=1,
    )


def _group_query_attention(
    inputs: Sequence[Tensor | None],
    shape: Sequence[Any],
    past: tuple[Tensor, Tensor],
    kind: AttentionKind,
) -> Sequence[Tensor]:
    """Return attention of this shape and the present caches; `inputs` are the operator's first ones."""
    query = inputs[0]
    assert query is not None
    attributes: dict[str, Any] = {
        "num_heads": kind.heads,
        "kv_num_heads": kind.heads,
        "do_rotary": int(kind.rotary is not None),
        "scale": kind.scale,
    }
    return ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        inputs,
        attributes,
        dtypes=[query.dtype, past[0].dtype, past[1].dtype],
        shapes=[shape, past[0].shape, past[1].shape],
        version=1,
    )


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, S, heads · head_dim) to (B, heads, S, head_dim)."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)
