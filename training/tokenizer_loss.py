"""Training of a tokenizer: candles through the binary spherical quantiser and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

from export.model.config import TokenizerConfig
from export.model.tokenizer import KronosTokenizer
from training.data.windows import Batch

_PRICES = 4
# Weight of the error in units of a candle's usual move, beside the error in units of the window's spread: a
# step of the close is a tenth of the spread, and forecasts are made of steps.
_FINE_WEIGHT = 0.5
_LEAST_MOVE = 0.02
# Inverse temperature of the soft assignment to corners: at 1 it is so even that unused bits go unnoticed.
_SHARPNESS = 10.0


def tokenizer_loss(tokenizer: KronosTokenizer, batch: Batch) -> Tensor:
    """Reconstruction from all bits and from the s1 bits alone, commitment and entropy terms.

    The quantiser's terms follow Zhao et al. 2024, "Image and Video Tokenization with Binary Spherical
    Quantization", sections 3 and 4.
    """
    z = tokenizer.quantiser_input(batch.values)
    code = straight_through(z)
    whole = _decoded(tokenizer, tokenizer.post_quant_embed(code))
    coarse = _decoded(tokenizer, tokenizer.post_quant_embed_pre(code[..., : tokenizer.config.s1_bits]))
    # What s1 alone can't tell is not held against it in units of a move, which s2 is there to resolve.
    rebuilt = reconstruction_error(whole, batch.values) + F.mse_loss(coarse, batch.values)
    return rebuilt + quantiser_loss(z, code.detach(), tokenizer.config)


def straight_through(z: Tensor) -> Tensor:
    """The corner of the sphere that each unit vector (..., bits) is nearest to; its gradient is z's own."""
    corner = torch.where(z > 0, 1.0, -1.0) * z.shape[-1] ** -0.5
    out: Tensor = z + (corner - z).detach()
    return out


def reconstruction_error(rebuilt: Tensor, values: Tensor) -> Tensor:
    """Mean squared error, and the mean error of prices in units of the window's usual move.

    Parameters
    ----------
    rebuilt, values
        (B, L, 6) normalised candles.
    """
    move = values[:, :, 3].diff(dim=1).std(dim=1).clamp_min(_LEAST_MOVE)
    relative = (rebuilt - values)[..., :_PRICES] / move[:, None, None]
    fine = F.smooth_l1_loss(relative, torch.zeros_like(relative))
    return F.mse_loss(rebuilt, values) + _FINE_WEIGHT * fine


def quantiser_loss(z: Tensor, corner: Tensor, config: TokenizerConfig) -> Tensor:
    """β · commitment + ζ · (γ0 · entropy of each token − γ · entropy of the groups of bits).

    Parameters
    ----------
    z, corner
        (B, L, bits) unit vectors and the corners of the sphere that they were moved to.
    """
    commitment = (corner - z).square().sum(dim=-1).mean()
    scale = 4 * _SHARPNESS * z.shape[-1] ** -0.5
    # A bit is 1 with the probability that the soft assignment to its two corners gives.
    own = F.binary_cross_entropy(torch.sigmoid(scale * z), torch.sigmoid(scale * z), reduction="none")
    group = config.group_size
    corners = 2 * _all_bits(group, z.device).to(z.dtype) - 1
    parts = z.reshape(-1, z.shape[-1] // group, group)
    shares = torch.softmax(0.5 * scale * parts @ corners.T, dim=-1).mean(dim=0)
    spread = -(shares * (shares + 1e-8).log()).sum()
    penalty = config.gamma0 * own.sum(dim=-1).mean() - config.gamma * spread
    return config.beta * commitment + config.zeta * penalty


def _decoded(tokenizer: KronosTokenizer, z: Tensor) -> Tensor:
    for block in tokenizer.decoder:
        z = block(z)
    out: Tensor = tokenizer.head(z)
    return out


def _all_bits(count: int, device: torch.device) -> Tensor:
    """Every combination of bits, (2^count, count)."""
    numbers = torch.arange(2**count, device=device)
    return numbers[:, None] >> torch.arange(count, device=device) & 1


def token_use(tokenizer: KronosTokenizer, batches: list[Batch]) -> dict[str, float]:
    """How well and how evenly the tokens serve.

    Returns
    -------
    dict
        ``close_error``: mean absolute error of the close over the window's usual move; ``s1_used`` and
        ``s2_used``: perplexity of each token over the number of tokens there are.
    """
    errors, tokens = [], []
    for batch in batches:
        s1, s2 = tokenizer.encode(batch.values)
        rebuilt = tokenizer.decode(s1, s2)
        move = batch.values[:, :, 3].diff(dim=1).std(dim=1).clamp_min(_LEAST_MOVE)
        errors.append(((rebuilt - batch.values)[:, :, 3].abs() / move[:, None]).mean())
        tokens.append(torch.stack([s1.flatten(), s2.flatten()]))
    used = {"close_error": float(torch.stack(errors).mean())}
    bits = tokenizer.config.s1_bits, tokenizer.config.s2_bits
    for name, count, drawn in zip(("s1_used", "s2_used"), bits, torch.cat(tokens, dim=1), strict=True):
        share = torch.bincount(drawn, minlength=2**count) / len(drawn)
        used[name] = float(torch.exp(-(share * (share + 1e-12).log()).sum())) / 2**count
    return used
