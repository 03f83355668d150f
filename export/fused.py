"""Layers of the exported graph beside attention, joined to fewer kernels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx import ops

from export.functions import ADD_AND_NORM, GATED_UNIT
from export.model.decoder import TokenEmbedding
from export.model.layers import RMS_EPS, FeedForward


def add_and_norm(x: Tensor, skip: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """RMSNorm(x + skip + bias) and x + skip + bias, in one kernel."""
    if x.dtype == torch.float32:
        given = [x, skip, weight, bias]
        normed, total = ops.symbolic_multi_out(
            ADD_AND_NORM.qualified,
            given,
            {"epsilon": RMS_EPS},
            dtypes=[x.dtype] * 2,
            shapes=[x.shape] * 2,
            version=1,
        )
        return normed, total
    normed, _, _, total = ops.symbolic_multi_out(
        "com.microsoft::SkipSimplifiedLayerNormalization",
        [x, skip, weight, bias],
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


class FusedFeedForward(nn.Module):
    """SwiGLU with its two input products as one, and in float32 what follows them as one operator."""

    def __init__(self, source: FeedForward) -> None:
        super().__init__()
        w1, w3 = source.w1.weight, source.w3.weight
        self.w13 = nn.Linear(w1.shape[1], 2 * w1.shape[0], bias=False)
        self.w13.weight = nn.Parameter(torch.cat([w1, w3]))
        self.w2 = source.w2

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d) to (..., d)."""
        both = self.w13(x)
        if both.dtype == torch.float32:
            shape = [*both.shape[:-1], self.w2.in_features]
            unit = ops.symbolic(GATED_UNIT.qualified, [both], dtype=both.dtype, shape=shape, version=1)
        else:
            gate, up = both.chunk(2, dim=-1)
            unit = F.silu(gate) * up
        out: Tensor = self.w2(unit)
        return out


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
