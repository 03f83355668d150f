"""Sampling inside the graph: temperature, top-k or top-p, and an inverse CDF driven by given draws."""

import torch
from torch import Tensor

# What each index lowers a logit by, relative to it: 1,024 such steps stay below half the distance between
# two numbers of half precision (at least 2^-11 of a number), and one step is a distance in float32.
TIE_STEP = 2.0**-22
MOST_WITHOUT_TIES = 1024
SMALLEST_NORMAL = 2.0**-14


def sample(
    logits: Tensor,
    temperature: Tensor,
    top_k: Tensor,
    top_p: Tensor,
    uniform: Tensor,
    *,
    break_ties: bool = False,
) -> Tensor:
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
    break_ties
        Order equal logits by index whatever the runtime's sort does with them. The logits must be numbers
        of half precision, V at most 1,024.

    Returns
    -------
    Tensor
        Tokens (B, 1), int64; -1 where a logit is no number, which would otherwise go unseen as some token.
    """
    vocabulary = logits.shape[-1]
    if break_ties and vocabulary > MOST_WITHOUT_TIES:
        raise ValueError(
            f"a vocabulary of {vocabulary} cannot be ordered without ties, {MOST_WITHOUT_TIES} can"
        )
    if break_ties:
        order = torch.topk(_without_ties(logits), vocabulary, dim=-1).indices
        values = torch.gather(logits, 1, order) / temperature
    else:  # the lower index wins ties
        values, order = torch.topk(logits / temperature, vocabulary, dim=-1)
    cumulated = torch.cumsum(torch.softmax(values, dim=-1), dim=-1)
    # What is kept is always the first tokens in this order, so the last one's place says which.
    kth = torch.gather(values, 1, torch.clamp(top_k, 1, vocabulary) - 1)
    by_rank = (values >= kth).long().sum(-1, keepdim=True) - 1
    # cumulated is the probability before the next token. A sum may round to a little above 1.
    limit = torch.where(top_p >= 1.0, torch.inf, top_p)
    by_mass = torch.clamp((cumulated <= limit).long().sum(-1, keepdim=True), max=vocabulary - 1)
    last = torch.where(top_k > 0, by_rank, by_mass)
    mass = torch.gather(cumulated, 1, last)
    rank = (cumulated <= uniform * mass).long().sum(-1, keepdim=True)
    # Rounding may leave uniform × mass at the very end: stay within the tokens kept.
    drawn = torch.gather(order, 1, torch.minimum(rank, last))
    return torch.where(mass >= 0, drawn, -1)


def _without_ties(logits: Tensor) -> Tensor:
    """Lower each logit by less than half the distance to its neighbours, the more the higher its index."""
    step = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype) * TIE_STEP
    return logits - (logits.abs() + SMALLEST_NORMAL) * step
