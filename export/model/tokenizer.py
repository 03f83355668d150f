"""Defines the Kronos tokenizer in torch: candles to pairs of tokens and back."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.model.config import TokenizerConfig
from export.model.layers import TransformerBlock, rotate


class KronosTokenizer(nn.Module):
    """Encoder, binary spherical quantiser and decoder (Zhao et al. 2024 for the quantiser)."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        d, bits = config.d_model, config.s1_bits + config.s2_bits

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerBlock(
                    d,
                    config.n_heads,
                    config.ff_dim,
                    config.ffn_dropout_p,
                    config.attn_dropout_p,
                    config.resid_dropout_p,
                )
                for _ in range(count)
            )

        self.embed = nn.Linear(config.d_in, d)
        self.head = nn.Linear(d, config.d_in)
        self.encoder = blocks(config.n_enc_layers - 1)
        self.decoder = blocks(config.n_dec_layers - 1)
        self.quant_embed = nn.Linear(d, bits)
        # Decodes from s1 alone, for training only; every published file holds its weights.
        self.post_quant_embed_pre = nn.Linear(config.s1_bits, d)
        self.post_quant_embed = nn.Linear(bits, d)

    def _projected(self, x: Tensor) -> Tensor:
        z = self.embed(x)
        for block in self.encoder:
            z = block(z)
        out: Tensor = self.quant_embed(z)
        return out

    def quantiser_input(self, x: Tensor) -> Tensor:
        """Return unit vectors whose signs are the bits: candles (B, T, 6) to (B, T, s1 + s2 bits)."""
        return F.normalize(self._projected(x), dim=-1)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens s1, s2, each (B, T) int64, of normalised candles (B, T, 6); bit i has the value 2^i.

        Signs do not depend on a vector's length, so the vectors are not normalised: that would need an
        operator (ReduceL2) for which a GPU requires cuDNN, unlike all others of a bundle.
        """
        bits = (self._projected(x) > 0).long()
        return _token(bits[..., : self.config.s1_bits]), _token(bits[..., self.config.s1_bits :])

    def _embed_tokens(self, s1: Tensor, s2: Tensor) -> Tensor:
        bits = torch.cat([_bits(s1, self.config.s1_bits), _bits(s2, self.config.s2_bits)], dim=-1)
        signs = bits.to(self.post_quant_embed.weight.dtype) * 2 - 1
        embedded: Tensor = self.post_quant_embed(signs * (1.0 / bits.shape[-1] ** 0.5))
        return embedded

    def decode(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Return normalised candles (B, T, 6) of tokens s1, s2 (B, T)."""
        z = self._embed_tokens(s1, s2)
        for block in self.decoder:
            z = block(z)
        out: Tensor = self.head(z)
        return out

    def decode_continuations(self, past_s1: Tensor, past_s2: Tensor, s1: Tensor, s2: Tensor) -> Tensor:
        """Decode several continuations of one past, computing the past once.

        The decoder is causal, so the past's keys and values are the same for every continuation.

        Parameters
        ----------
        past_s1, past_s2
            Tokens of the past, (1, P); P may be 0.
        s1, s2
            Tokens of the continuations, (B, G).

        Returns
        -------
        Tensor
            Normalised candles of the continuations, (B, G, 6), equal to the last G columns that `decode`
            returns for each past + continuation.
        """
        past, z = self._embed_tokens(past_s1, past_s2), self._embed_tokens(s1, s2)
        length = past.shape[1]
        positions = torch.arange(length + z.shape[1], device=z.device)
        # Causal: a query attends to keys at its own position and before.
        # Scores are kept below infinity or minus infinity. A mask that is added would become an operator that
        # needs cuDNN on a GPU, unlike all others of a bundle; where() takes longer.
        bound = torch.where(positions[None] > positions[:, None], -torch.inf, torch.inf).to(z.dtype)
        blocks: list[TransformerBlock] = list(self.decoder)  # type: ignore[arg-type]
        for block in blocks:
            cos, sin = block.self_attn.rotary.angles(positions)
            key, value, past = _block(block, past, cos[:length], sin[:length], bound[:length, :length])
            _, _, z = _block(block, z, cos[length:], sin[length:], bound[length:], key, value)
        out: Tensor = self.head(z)
        return out


def _block(
    block: TransformerBlock,
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    bound: Tensor,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply a block to x (B, S, d), with keys and values of a past that all rows share before its own.

    Parameters
    ----------
    bound
        (S, past and S): infinity where a position attends to a key, and minus infinity elsewhere.
    past_key, past_value
        (1, heads, past, head_dim).

    Returns
    -------
    key, value, x
        With the past's keys and values, if there is one.
    """
    attention = block.self_attn
    normed = block.norm1(x)
    q = rotate(attention.heads(attention.q_proj(normed)), cos, sin)
    key = rotate(attention.heads(attention.k_proj(normed)), cos, sin)
    value = attention.heads(attention.v_proj(normed))
    # The past copied for each row takes less time than scores of its own, which are joined and cut again.
    if past_key is not None and past_value is not None:
        key = torch.cat([past_key.expand(x.shape[0], -1, -1, -1), key], dim=-2)
        value = torch.cat([past_value.expand(x.shape[0], -1, -1, -1), value], dim=-2)
    scores = torch.matmul(q, key.transpose(-1, -2)) * q.shape[-1] ** -0.5
    mixed = torch.matmul(torch.softmax(torch.minimum(scores, bound), dim=-1), value)
    x = x + attention.out_proj(mixed.transpose(1, 2).flatten(2))
    x = x + block.ffn(block.norm2(x))
    return key, value, x


def _powers(count: int, device: torch.device) -> Tensor:
    return 2 ** torch.arange(count, device=device)


def _token(bits: Tensor) -> Tensor:
    """Join bits (..., count) into tokens (...); bit i has the value 2^i."""
    return (bits * _powers(bits.shape[-1], bits.device)).sum(-1)


def _bits(token: Tensor, count: int) -> Tensor:
    """Split tokens (...) into bits (..., count)."""
    # Division rather than shifts: ONNX can only shift unsigned integers.
    return torch.div(token.unsqueeze(-1), _powers(count, token.device), rounding_mode="floor") % 2
