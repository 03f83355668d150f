"""Sampling inside the graph: temperature, top-k or top-p, and an inverse CDF driven by given draws."""

import torch
from torch import Tensor


def sample(logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, uniform: Tensor) -> Tensor:
    """Draw one token per row, with upstream's filtering and a draw that is given.

    Tokens are ordered by falling probability, ties by index. With top_k > 0 those at least as probable
    as the k-th stay and top_p is ignored; else a token stays where the probability before it is at
    most top_p. The token drawn is the first whose cumulated probability exceeds uniform × the mass kept.

    Parameters
    ----------
    logits
        (B, V), float32.
    temperature, top_p, uniform
        (B, 1), float32; uniform in [0, 1).
    top_k
        (B, 1), int64; 0 turns it off.

    Returns
    -------
    Tensor
        Tokens (B, 1), int64.
    """
    vocabulary = logits.shape[-1]
    values, order = torch.topk(logits / temperature, vocabulary, dim=-1)  # sorted; the lower index wins ties
    probability = torch.softmax(values, dim=-1)
    cumulated = torch.cumsum(probability, dim=-1)
    before = torch.cat([torch.zeros_like(cumulated[:, :1]), cumulated[:, :-1]], dim=-1)
    kth = torch.gather(values, 1, torch.clamp(top_k, 1, vocabulary) - 1)
    by_rank, by_mass = values >= kth, (before <= top_p) | (top_p >= 1.0)
    # Not torch.where: ONNX Runtime has no Where of booleans.
    keep = ((top_k > 0) & by_rank) | ((top_k <= 0) & by_mass)
    kept = torch.where(keep, probability, torch.zeros_like(probability))
    cdf = torch.cumsum(kept, dim=-1)
    rank = (cdf <= uniform * cdf[:, -1:]).long().sum(-1, keepdim=True)
    # Rounding may leave uniform × mass at the very end: stay within the tokens kept.
    rank = torch.minimum(rank, keep.long().sum(-1, keepdim=True) - 1)
    return torch.gather(order, 1, rank)
