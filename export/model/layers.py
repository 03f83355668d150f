"""Defines the layers of the tokenizer and the decoder; parameters have the names of the published files."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RMS_EPS = 1e-5


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + 1e-5) · weight, computed in float32 (Zhang and Sennrich 2019)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        wide = x.float()
        scale = torch.rsqrt(torch.mean(wide * wide, dim=-1, keepdim=True) + RMS_EPS)
        return (wide * scale).type_as(x) * self.weight


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) · w3 x) (Shazeer 2020)."""

    def __init__(self, d_model: int, ff_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.w1 = nn.Linear(d_model, ff_dim, bias=False)
        self.w3 = nn.Linear(d_model, ff_dim, bias=False)
        self.w2 = nn.Linear(ff_dim, d_model, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., d_model) to (..., d_model)."""
        out: Tensor = self.dropout(self.w2(F.silu(self.w1(x)) * self.w3(x)))
        return out


class Rotary(nn.Module):
    """Rotary position angles (Su et al. 2021); some published files hold the buffer `inv_freq`."""

    inv_freq: Tensor

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 1.0 / (10000 ** (torch.arange(0, head_dim, 2).float() / head_dim)))

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of shape (len(positions), head_dim / 2)."""
        angle = positions.to(self.inv_freq.dtype)[:, None] * self.inv_freq[None, :]
        return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x (B, heads, S, head_dim), halves as pairs, by angles of shape (S, head_dim / 2)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Attention(nn.Module):
    """The four projections of one attention layer, and the split into heads."""

    def __init__(self, d_model: int, n_heads: int, attention_dropout: float = 0.0, dropout: float = 0.0):
        super().__init__()
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        self.rotary = Rotary(d_model // n_heads)
        self.attention_dropout = attention_dropout
        self.dropout = nn.Dropout(dropout)

    def heads(self, x: Tensor) -> Tensor:
        """(B, S, d_model) to (B, heads, S, head_dim)."""
        return x.reshape(*x.shape[:2], self.n_heads, x.shape[2] // self.n_heads).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        """Scaled dot-product attention of split heads, joined and projected to (B, S, d_model)."""
        drop = self.attention_dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, is_causal=causal)
        projected: Tensor = self.dropout(self.out_proj(out.transpose(1, 2).flatten(2)))
        return projected


class SelfAttention(Attention):
    """Causal self-attention with rotary positions counted from the first column."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, d_model) to (B, S, d_model)."""
        cos, sin = self.rotary.angles(torch.arange(x.shape[1], device=x.device))
        q = rotate(self.heads(self.q_proj(x)), cos, sin)
        k = rotate(self.heads(self.k_proj(x)), cos, sin)
        return self.attend(q, k, self.heads(self.v_proj(x)), causal=True)


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention(norm1 x), then x + feed-forward(norm2 x)."""

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        ff_dim: int,
        ffn_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        residual_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = RMSNorm(d_model)
        self.self_attn = SelfAttention(d_model, n_heads, attention_dropout, residual_dropout)
        self.norm2 = RMSNorm(d_model)
        self.ffn = FeedForward(d_model, ff_dim, ffn_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, d_model) to (B, S, d_model)."""
        x = x + self.self_attn(self.norm1(x))
        out: Tensor = x + self.ffn(self.norm2(x))
        return out
