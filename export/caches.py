"""Attention over key/value caches in the exported graphs: a cache per row, or a prefix that rows share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.onnx import ops

QK_BEFORE_SOFTMAX = 1  # GroupQueryAttention's fourth output: the scaled scores


@dataclass
class StepCache:
    """The caches of one call: each layer takes its past cache and adds its present one, in layer order."""

    seqlens_k: Tensor
    total: Tensor
    past: Sequence[tuple[Tensor, Tensor]]
    present: list[Tensor]

    def attend(
        self,
        qkv: list[Tensor | None],
        size: int,
        *,
        heads: int,
        scale: float,
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Run GroupQueryAttention for the next layer; (B, S, size)."""
        key, value = self.past[len(self.present) // 2]
        query = qkv[0]
        assert query is not None
        out, present_key, present_value = ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            [*qkv, key, value, self.seqlens_k, self.total, *(rotary or ())],
            {
                "num_heads": heads,
                "kv_num_heads": heads,
                "do_rotary": int(rotary is not None),
                "scale": scale,
            },
            dtypes=[query.dtype, key.dtype, value.dtype],
            shapes=[[*query.shape[:2], size], key.shape, value.shape],
            version=1,
        )
        self.present += [present_key, present_value]
        return out


@dataclass
class SharedPrefixCache:
    """Attention of one new token per row over a prefix that all rows share and a suffix of each row's own.

    The rows are the sample paths of one history. Their queries meet the shared keys in one product,
    which reads the prefix once instead of once per row; the suffix goes through GroupQueryAttention,
    which appends to it in place. Two softmaxes over disjoint keys are one softmax if each is weighed
    by its exponentiated log-sum (Dao et al. 2022).
    """

    seqlens_k: Tensor
    total: Tensor
    prefix: Sequence[tuple[Tensor, Tensor]]
    past: Sequence[tuple[Tensor, Tensor]]
    present: list[Tensor]

    def attend(
        self,
        qkv: list[Tensor | None],
        size: int,
        *,
        heads: int,
        scale: float,
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Attend for the next layer; (B, 1, size)."""
        layer = len(self.present) // 2
        query, key, value = self._rotated(qkv, size, heads, rotary, self.prefix[layer][0].shape[2])
        own, present_key, present_value, own_scores = ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            [query, key, value, *self.past[layer], self.seqlens_k, self.total],
            {
                "num_heads": heads,
                "kv_num_heads": heads,
                "do_rotary": 0,
                "scale": scale,
                "qk_output": QK_BEFORE_SOFTMAX,
            },
            dtypes=[query.dtype] * 4,
            shapes=[
                query.shape,
                self.past[layer][0].shape,
                self.past[layer][1].shape,
                [query.shape[0], heads, 1, self.past[layer][0].shape[2]],
            ],
            version=1,
        )
        self.present += [present_key, present_value]
        by_head = query.reshape(query.shape[0], heads, size // heads).transpose(0, 1)  # [H, B, D]
        # squeeze, not [0]: that would copy the whole prefix at every step
        shared_key, shared_value = (t.squeeze(0) for t in self.prefix[layer])  # [H, P, D]
        scores = torch.matmul(by_head, shared_key.transpose(-1, -2)) * scale
        weights = torch.softmax(scores, dim=-1)
        shared = torch.matmul(weights, shared_value).transpose(0, 1).reshape(query.shape)
        # The largest weight is exp(largest score - log-sum) and at least 1/P: no underflow.
        log_sum = scores.amax(-1).float() - weights.amax(-1).float().log()  # [H, B]
        own_log_sum = torch.logsumexp(own_scores.float(), dim=-1)[..., 0]  # [B, H]
        share = torch.sigmoid(own_log_sum - log_sum.transpose(0, 1)).to(query.dtype)
        mix = share.repeat_interleave(size // heads, dim=-1).reshape(query.shape)
        return shared + mix * (own - shared)

    def _rotated(
        self,
        qkv: list[Tensor | None],
        size: int,
        heads: int,
        rotary: tuple[Tensor, Tensor] | None,
        prefix_length: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        first = qkv[0]
        assert first is not None
        if rotary is None:
            _, key, value = qkv
            assert key is not None
            assert value is not None
            return first, key, value
        both, value = first[..., : 2 * size], first[..., 2 * size :]
        position = self.seqlens_k.long()[:, None] + prefix_length
        both = ops.symbolic(
            "com.microsoft::RotaryEmbedding",
            [both, position, *rotary],
            {"num_heads": 2 * heads, "interleaved": 0},
            dtype=both.dtype,
            shape=both.shape,
            version=1,
        )
        return both[..., :size], both[..., size:], value


Cache = StepCache | SharedPrefixCache
