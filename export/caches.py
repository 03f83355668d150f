"""Attention in the exported graphs: over a cache per row, behind shared prefixes, or of a history."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.onnx import ops

from export.functions import (
    HISTORY_ATTENTION,
    HISTORY_ATTENTION_8,
    PREFIX_ATTENTION,
    PREFIX_ATTENTION_8,
    STEP_ATTENTION,
    STEP_ATTENTION_8,
    Operator,
)

QK_BEFORE_SOFTMAX = 1  # GroupQueryAttention's fourth output: the scaled scores

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
        out, *present = _group_query_attention(
            inputs, [*query.shape[:2], size], past, kind, rotates=kind.rotary is not None
        )
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

    The B rows are the sample paths of J histories, B / J of each, one history after the other. The queries
    of a history's rows meet its keys in one product, which reads the prefix once instead of once per row;
    the suffix goes through GroupQueryAttention, which appends to it in place. All suffixes are equally long;
    S may be above 1 where they were empty. Two softmaxes over disjoint keys are one softmax if each is
    weighed by its exponentiated log-sum (Dao et al. 2022).

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
        heads = kind.heads
        query, key, value = qkv
        assert query is not None
        if kind.rotary is not None:
            operator = PREFIX_ATTENTION if kind.scales is None else PREFIX_ATTENTION_8
            given = [query, *self.past[layer], self.seqlens_k, self.total, *kind.rotary]
            given += [*self.prefix[layer], self.position, self.mask]
            out, *present = _own_operator(operator, given, size, self.past[layer], kind)
            self.present += present
            return out
        own, *present, own_scores = _group_query_attention(
            [query, key, value, *self.past[layer], self.seqlens_k, self.total],
            query.shape,
            self.past[layer],
            kind,
            rotates=False,
            scores=[query.shape[0], heads, query.shape[1], self.mask.shape[1]],
        )
        self.present += present
        shared_key, shared_value = self.prefix[layer]  # (J, heads, P, head_dim)
        split = _reshaped(query, [shared_key.shape[0], -1, heads, size // heads], histories=shared_key)
        scores = torch.matmul(split.transpose(1, 2), shared_key.transpose(-1, -2)) * kind.scale
        weights = torch.softmax(scores, dim=-1)
        shared = torch.matmul(weights, shared_value).transpose(1, 2)  # (J, rows · S, heads, head_dim)
        # The largest weight is exp(largest score - log-sum) and at least 1/P: no underflow.
        log_sum = (scores.amax(-1) - weights.amax(-1).log()).transpose(1, 2)  # (J, rows · S, heads)
        own_log_sum = torch.logsumexp(own_scores + self.mask, dim=-1).transpose(1, 2)  # (B, S, heads)
        own_by_head = own.reshape(*own.shape[:2], heads, size // heads)
        share = torch.sigmoid(own_log_sum - _as_rows(log_sum, own_log_sum))
        shared_rows = _as_rows(shared, own_by_head)
        return (shared_rows + share.unsqueeze(-1) * (own_by_head - shared_rows)).flatten(2)


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
    *,
    rotates: bool,
    scores: Sequence[Any] | None = None,
) -> Sequence[Tensor]:
    """Return attention of this shape and the present caches and, with their shape, the scores as well.

    `inputs` are the operator's first ones, with the tables of the rotation where it `rotates` itself.
    """
    query = inputs[0]
    assert query is not None
    attributes: dict[str, Any] = {
        "num_heads": kind.heads,
        "kv_num_heads": kind.heads,
        "do_rotary": int(rotates),
        "scale": kind.scale,
    }
    dtypes, shapes = [query.dtype, past[0].dtype, past[1].dtype], [shape, past[0].shape, past[1].shape]
    if scores is not None:
        attributes["qk_output"] = QK_BEFORE_SOFTMAX
        dtypes, shapes = [*dtypes, query.dtype], [*shapes, scores]
    return ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention", inputs, attributes, dtypes=dtypes, shapes=shapes, version=1
    )


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, S, heads · head_dim) to (B, heads, S, head_dim)."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def _reshaped(x: Tensor, shape: list[Any], histories: Tensor) -> Tensor:
    """Reshape x to (J, …), J being the first axis of `histories`; torch wants a proof that J divides."""
    first = ops.symbolic("Shape", [histories], {"start": 0, "end": 1}, dtype=torch.int64, shape=[1])
    rest = torch.tensor(shape[1:], dtype=torch.int64)
    rows = x.shape[0] * x.shape[1] // histories.shape[0]
    return ops.symbolic(
        "Reshape",
        [x, torch.cat([first, rest])],
        dtype=x.dtype,
        shape=[histories.shape[0], rows, *shape[2:]],
    )


def _as_rows(x: Tensor, like: Tensor) -> Tensor:
    """Reshape x (J, rows · S, …) to the shape (B, S, …) of another tensor."""
    shape = ops.symbolic("Shape", [like], dtype=torch.int64, shape=[like.dim()])
    return ops.symbolic("Reshape", [x, shape], dtype=x.dtype, shape=like.shape)
