"""Computes the loss of a tokenizer: candles through the binary spherical quantiser and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

from export.model.config import TokenizerConfig
from export.model.tokenizer import KronosTokenizer
from training.data.windows import Batch

_PRICES = 4
# Weight of the error in units of the window's usual move, beside that in units of its standard deviation: a
# move of the close is a tenth of a standard deviation, and a forecast must resolve moves.
_MOVE_WEIGHT = 0.5
_SMALLEST_MOVE = 0.02
# Inverse temperature of the soft assignment to corners. At 1 it is so even that unused bits hardly count.
_SHARPNESS = 10.0


def tokenizer_loss(tokenizer: KronosTokenizer, batch: Batch) -> Tensor:
    """Return the errors of reconstruction from all bits and from s1 alone, plus the quantiser's terms.

    The quantiser's terms follow Zhao et al. 2024, "Image and Video Tokenization with Binary Spherical
    Quantization", sections 3 and 4.
    """
    z = tokenizer.quantiser_input(batch.values)
    code = straight_through(z)
    from_all = _decoded(tokenizer, tokenizer.post_quant_embed(code))
    from_s1 = _decoded(tokenizer, tokenizer.post_quant_embed_pre(code[..., : tokenizer.config.s1_bits]))
    # The error of s1 alone is not measured in units of a move, which only s2 can resolve.
    error = reconstruction_error(from_all, batch.values) + F.mse_loss(from_s1, batch.values)
    return error + quantiser_loss(z, code.detach(), tokenizer.config)


def straight_through(z: Tensor) -> Tensor:
    """Return the corner of the hypercube in the unit sphere that is nearest to each unit vector (..., bits).

    Its gradient is passed to z unchanged.
    """
    corner = torch.where(z > 0, 1.0, -1.0) * z.shape[-1] ** -0.5
    out: Tensor = z + (corner - z).detach()
    return out


def reconstruction_error(rebuilt: Tensor, values: Tensor) -> Tensor:
    """Return the mean squared error, plus the error of prices in units of the window's usual move.

    Parameters
    ----------
    rebuilt, values
        (B, L, 6) normalised candles.
    """
    move = values[:, :, 3].diff(dim=1).std(dim=1).clamp_min(_SMALLEST_MOVE)
    relative = (rebuilt - values)[..., :_PRICES] / move[:, None, None]
    in_moves = F.smooth_l1_loss(relative, torch.zeros_like(relative))
    return F.mse_loss(rebuilt, values) + _MOVE_WEIGHT * in_moves


def quantiser_loss(z: Tensor, corner: Tensor, config: TokenizerConfig) -> Tensor:
    """Return β · commitment + ζ · (γ0 · entropy of each token − γ · entropy of the groups of bits).

    Parameters
    ----------
    z, corner
        (B, L, bits) unit vectors, and the corners that they are quantised to.
    """
    commitment = (corner - z).square().sum(dim=-1).mean()
    scale = 4 * _SHARPNESS * z.shape[-1] ** -0.5
    # A bit is 1 with the probability that the soft assignment to its two corners gives.
    probability = torch.sigmoid(scale * z)
    bit_entropy = F.binary_cross_entropy(probability, probability, reduction="none")
    group = config.group_size
    corners = 2 * _all_bits(group, z.device).to(z.dtype) - 1
    parts = z.reshape(-1, z.shape[-1] // group, group)
    shares = torch.softmax(0.5 * scale * parts @ corners.T, dim=-1).mean(dim=0)
    group_entropy = -(shares * (shares + 1e-8).log()).sum()
    penalty = config.gamma0 * bit_entropy.sum(dim=-1).mean() - config.gamma * group_entropy
    return config.beta * commitment + config.zeta * penalty


def _decoded(tokenizer: KronosTokenizer, z: Tensor) -> Tensor:
    for block in tokenizer.decoder:
        z = block(z)
    out: Tensor = tokenizer.head(z)
    return out


def _all_bits(count: int, device: torch.device) -> Tensor:
    """Return every combination of bits, (2^count, count)."""
    numbers = torch.arange(2**count, device=device)
    return numbers[:, None] >> torch.arange(count, device=device) & 1


def token_use(tokenizer: KronosTokenizer, batches: list[Batch]) -> dict[str, float]:
    """Measure how precise the tokens are, and how evenly they are used.

    Returns
    -------
    dict
        ``close_error``: mean absolute error of the close over the window's usual move; ``s1_used`` and
        ``s2_used``: perplexity of each token over its number of values.
    """
    errors, tokens = [], []
    for batch in batches:
        s1, s2 = tokenizer.encode(batch.values)
        rebuilt = tokenizer.decode(s1, s2)
        move = batch.values[:, :, 3].diff(dim=1).std(dim=1).clamp_min(_SMALLEST_MOVE)
        errors.append(((rebuilt - batch.values)[:, :, 3].abs() / move[:, None]).mean())
        tokens.append(torch.stack([s1.flatten(), s2.flatten()]))
    figures = {"close_error": float(torch.stack(errors).mean())}
    bits = tokenizer.config.s1_bits, tokenizer.config.s2_bits
    for name, count, used in zip(("s1_used", "s2_used"), bits, torch.cat(tokens, dim=1), strict=True):
        shares = torch.bincount(used, minlength=2**count) / len(used)
        figures[name] = float(torch.exp(-(shares * (shares + 1e-12).log()).sum())) / 2**count
    return figures
