"""Measures the effect of half precision on a decoder: torch in float16 and in float32, on the CPU.

The CPU kernels of ONNX Runtime widen much of a float16 graph to float32, so a graph that is right there may
overflow on a GPU. Here torch computes every operation in float16, and every intermediate value is checked.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from export.errors import ParityError
from export.model.decoder import KronosDecoder
from export.model.layers import Attention, Rotary

LARGEST_HALF = 65504.0  # the largest number that float16 holds
_S2_PLACES = 8  # prefixes whose s2 logits are compared; those of s1 are compared at every position


class _HalfRotary(nn.Module):
    """Rotary angles computed in float32 and rounded to half, as the exported tables are."""

    def __init__(self, rotary: Rotary) -> None:
        super().__init__()
        self.rotary = rotary

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of shape (len(positions), head_dim / 2), float16."""
        cos, sin = self.rotary.angles(positions)
        return cos.half(), sin.half()


class _Peak(TorchFunctionMode):
    """Records the largest magnitude of the float16 tensors that torch computes; NaN if one is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0.0

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, and record the magnitude of its result."""
        out = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            # The exported graphs multiply queries and keys before they scale, in half precision too.
            self._note(args[0].float() @ args[1].float().transpose(-1, -2))
        if isinstance(out, Tensor) and out.dtype == torch.float16 and out.numel():
            self._note(out)
        return out

    def _note(self, values: Tensor) -> None:
        # max() may drop a NaN.
        self.peak = float(np.maximum(self.peak, float(values.abs().max())))


def half_figures(
    decoder: KronosDecoder, s1: Tensor, s2: Tensor, stamp: Tensor, event_embedding: Tensor | None
) -> dict[str, float]:
    """Return relative differences of the logits in half precision, and the largest intermediate magnitude.

    Parameters
    ----------
    decoder
        In float32; its weights are rounded to float16 in a copy.
    s1, s2, stamp, event_embedding
        A sequence (B, N), (B, N), (B, N, 5) and (B, N, d_model) or None.

    Returns
    -------
    dict
        ``s1_logits_half`` over all positions and ``s2_logits_half`` over some, each relative to the largest
        logit of its position (at least 1), and ``largest_activation``.

    Raises
    ------
    ParityError
        An intermediate value is NaN or beyond the range of float16.
    """
    half = _in_half(decoder)
    embedding = None if event_embedding is None else event_embedding.half()
    places = np.unique(np.linspace(1, s1.shape[1], _S2_PLACES).astype(int)).tolist()
    with torch.no_grad():
        hidden = decoder.hidden(s1, s2, stamp, event_embedding)
        with _Peak() as peak:
            half_hidden = half.hidden(s1, s2, stamp, embedding)
            half_s1 = half.s1_logits(half_hidden)
            half_s2 = [half.s2_logits(half_hidden[:, :n], s1[:, n - 1 : n]) for n in places]
        pairs = zip(places, half_s2, strict=True)
        figures = {
            "s1_logits_half": _difference(half_s1, decoder.s1_logits(hidden)),
            "s2_logits_half": float(
                np.max([_difference(x, decoder.s2_logits(hidden[:, :n], s1[:, n - 1 : n])) for n, x in pairs])
            ),
            "largest_activation": peak.peak,
        }
    if not peak.peak <= LARGEST_HALF:
        raise ParityError(
            f"in half precision a value inside the decoder reaches {peak.peak:.3g}, and float16 ends at "
            f"{LARGEST_HALF:.0f}: export this checkpoint with --precision fp32; no bundle was written"
        )
    return figures


def _in_half(decoder: KronosDecoder) -> KronosDecoder:
    half = copy.deepcopy(decoder).half().eval()
    for name, module in decoder.named_modules():
        if isinstance(module, Attention):
            half.get_submodule(name).rotary = _HalfRotary(module.rotary)
    return half


def _difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference relative to the largest expected logit (at least 1) of its position."""
    scale = expected.abs().amax(-1).clamp(min=1.0)
    return float(((found.float() - expected).abs().amax(-1) / scale).max())
