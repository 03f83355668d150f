"""Sets weights of transformer blocks so that they compute chosen functions of their channels.

A channel is one of the d_model numbers that a block reads and adds to, named by its index.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import nn

from export.model.layers import Attention, FeedForward, TransformerBlock
from market.types import Float64Array

_SHARPNESS: Final = 16.0  # of the corner of a ramp, over the width of a cell
_ATTENTION: Final = 80.0  # scale of the scores; the share of a neighbouring candle is then below 1 in 10,000


def make_norms_identity(block: TransformerBlock, constant: int, level: float, rms: float) -> None:
    """Set the weights of both norms so that they return their input nearly unchanged, and 1 for the constant.

    Parameters
    ----------
    constant, level
        The channel that holds a constant, and the constant; it outweighs the other channels.
    rms
        The root mean square of all channels that the norms divide by.
    """
    for norm in (block.norm1, block.norm2):
        nn.init.constant_(norm.weight, rms)
        norm.weight[constant] = rms / level


def add_earlier_value(
    attention: Attention, head: int, candles_back: int, source: int, target: int, factor: float
) -> None:
    """Let a head add `factor` times the source channel of an earlier candle to the target channel.

    Queries and keys are the same for every candle, so that the rotary positions alone decide: the product of
    the query of i with the key of j is the sum of cos((j - i + candles_back) · frequency), which is largest
    at j = i - candles_back.
    """
    frequencies = attention.rotary.inv_freq
    half = len(frequencies)
    start, middle, end = 2 * half * head, 2 * half * head + half, 2 * half * (head + 1)
    for projection in (attention.q_proj, attention.k_proj):
        nn.init.zeros_(projection.weight[start:end])
    scale = _ATTENTION**0.5
    attention.q_proj.bias[start:middle] = scale
    attention.q_proj.bias[middle:end] = 0.0
    attention.k_proj.bias[start:middle] = scale * torch.cos(candles_back * frequencies)
    attention.k_proj.bias[middle:end] = scale * torch.sin(candles_back * frequencies)
    nn.init.zeros_(attention.v_proj.weight[start])
    nn.init.zeros_(attention.v_proj.bias[start : start + 1])
    attention.v_proj.weight[start, source] = 1.0
    attention.out_proj.weight[target, start] = factor


class NeuronWriter:
    """Writes functions into the neurons of a feed-forward layer, w2(silu(w1 x) · w3 x), one after the other.

    Parameters
    ----------
    constant
        The channel that is 1 in the layer's input.
    """

    def __init__(self, layer: FeedForward, constant: int) -> None:
        self._layer, self._constant, self._used = layer, constant, 0

    def add_piecewise_linear(
        self, source: int, knots: Float64Array, values: Float64Array, targets: Sequence[int]
    ) -> None:
        """Add piecewise linear functions of the source channel to the target channels.

        Each is a sum of ramps, silu(s · (x - knot)) / s, which is close to max(0, x - knot).

        Parameters
        ----------
        knots
            (n,), increasing.
        values
            (targets, n): each function at the knots.
        """
        slopes = np.diff(values, axis=1) / np.diff(knots)
        slope_changes = np.diff(slopes, axis=1, prepend=0)
        for i, knot in enumerate(knots[:-1]):
            sharpness = _SHARPNESS / (knots[i + 1] - knot)
            inputs = {source: sharpness, self._constant: -sharpness * knot}
            gate = {self._constant: 1 / sharpness}
            self._add(inputs, gate, dict(zip(targets, slope_changes[:, i], strict=True)))
        first_values = dict(zip(targets, values[:, 0], strict=True))
        self._add({self._constant: _SHARPNESS}, {self._constant: 1 / _SHARPNESS}, first_values)

    def add_lookup(
        self, bits: Sequence[int], patterns: Float64Array, outputs: Mapping[int, Float64Array]
    ) -> None:
        """Add the numbers of the pattern that the bit channels, each ±1, show.

        Parameters
        ----------
        patterns
            (m, bits) of ±1, all different.
        outputs
            By target channel: (m,), the number to add for each pattern.
        """
        sharpness = _SHARPNESS / 2
        for row, pattern in enumerate(patterns):
            inputs = {bit: sharpness * sign for bit, sign in zip(bits, pattern, strict=True)}
            inputs[self._constant] = -sharpness * (len(bits) - 1)
            gate = {self._constant: 1 / sharpness}
            self._add(inputs, gate, {target: numbers[row] for target, numbers in outputs.items()})

    def add_product(self, first: int, second: int, target: int) -> None:
        """Add the product of two channels to a third: a·b = silu(s·a) · b/s - silu(-s·a) · b/s."""
        sharpness = 4 * _SHARPNESS
        for sign in (1.0, -1.0):
            self._add({first: sign * sharpness}, {second: sign / sharpness}, {target: 1.0})

    def _add(
        self, inputs: Mapping[int, float], gate: Mapping[int, float], outputs: Mapping[int, float]
    ) -> None:
        """Write one neuron: weights of w1, of w3 and of w2 by channel.

        The gate divides by the sharpness, so that activations stay as large as the numbers they represent:
        larger ones would have gradients that undo the weights in the first steps of training.
        """
        layer, neuron = self._layer, self._used
        nn.init.zeros_(layer.w1.weight[neuron])
        nn.init.zeros_(layer.w3.weight[neuron])
        for channel, weight in inputs.items():
            layer.w1.weight[neuron, channel] = weight
        for channel, weight in gate.items():
            layer.w3.weight[neuron, channel] = weight
        for channel, weight in outputs.items():
            layer.w2.weight[channel, neuron] = weight
        self._used += 1
