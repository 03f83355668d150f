"""Initial weights that make a tokenizer a folding quantiser: what training then refines.

Training from random weights finds few of the bits: of 9 + 9, about 6 + 6 came to be used, and a close was
rounded by half of an hourly move. A folding converter does by construction what gradients find slowly: the
first layers map a value to triangle waves of falling period, whose signs are its Gray code (van de Plassche
2003, "CMOS Integrated Analog-to-Digital and Digital-to-Analog Converters"). In a Gray code
neighbouring cells differ in one bit, so a value near a boundary is rounded to either side and no further.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from export.model.config import TokenizerConfig
from export.model.layers import Attention, FeedForward, TransformerBlock
from export.model.tokenizer import KronosTokenizer
from market.normalise import CLIP
from market.types import Float64Array

# Values that are quantised, as combinations of open, high, low, close, volume and amount. Amount is volume
# times a price that hardly moves within a window: it needs no bits of its own.
_VALUES: Final = np.array(
    [
        [0, 0, 0, 1, 0, 0],
        [1, 0, 0, -1, 0, 0],
        [0, 1, 0, -1, 0, 0],
        [0, 0, 1, -1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ],
    np.float64,
)
_CLOSE, _OPEN, _HIGH, _LOW, _VOLUME = range(5)
_FEATURES: Final = np.array(  # the six features from the values; the open comes from the close before
    [[1, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]],
    np.float64,
)
# (value, bit) in the order of significance, of s1 and of s2; bits of the close beyond `_COARSE` come from a
# second folding of the first one's finest wave.
_COARSE: Final = 5
_S1: Final = [*((_CLOSE, k) for k in range(_COARSE)), (_HIGH, 0), (_LOW, 0), (_HIGH, 1), (_LOW, 1)]
_S2: Final = [*((_CLOSE, k) for k in (5, 6, 7)), (_HIGH, 2), (_LOW, 2), (_OPEN, 0)]
_KNEE: Final = 1.5  # closes are divided finely within so many spreads of the window, coarser beyond
_SHARPNESS: Final = 16.0  # of a ramp's corner, over the width of a cell
_ATTENTION: Final = 80.0  # a neighbour's share is then below 1 in 10,000
_ENCODER_CONSTANT, _DECODER_CONSTANT = 16.0, 8.0


@dataclass(frozen=True)
class _Layout:
    """Which value and which of its bits each bit of the code is, and the edges of each value's cells."""

    bits: list[tuple[int, int]]
    edges: list[Float64Array]

    def of(self, value: int) -> list[int]:
        """Positions in the code of a value's bits, the most significant first."""
        found = [(bit, place) for place, (which, bit) in enumerate(self.bits) if which == value]
        return [place for _, place in sorted(found)]


def fits(config: TokenizerConfig) -> bool:
    """Whether a tokenizer is large enough to begin as a folding quantiser."""
    enough_blocks = config.n_enc_layers >= 3 and config.n_dec_layers >= 4
    enough_bits = config.s1_bits in (9, 10) and config.s2_bits in (9, 10)
    return enough_blocks and enough_bits and config.d_model >= 32 and config.ff_dim >= 96


def fold(tokenizer: KronosTokenizer, values: Float64Array) -> None:
    """Overwrite the weights of a tokenizer for which `fits` holds.

    Attention is given no effect to begin with, nor are the neurons and channels that are not needed; their
    gradients are not zero, so training makes use of them.

    Parameters
    ----------
    values
        (n, 6) normalised candles, whose spread decides the cells of all values but the close.
    """
    layout = _layout(tokenizer.config, values)
    for part in (tokenizer.embed, tokenizer.encoder, tokenizer.quant_embed):
        part.requires_grad_(False)
    with torch.no_grad():
        for block in (*tokenizer.encoder, *tokenizer.decoder):
            nn.init.zeros_(block.self_attn.out_proj.weight)
            nn.init.zeros_(block.self_attn.out_proj.bias)
            nn.init.zeros_(block.ffn.w2.weight)
        _set_encoder(tokenizer, layout)
        _set_decoder(tokenizer, layout)


def _layout(config: TokenizerConfig, values: Float64Array) -> _Layout:
    s1 = [*_S1, (_VOLUME, 0)][: config.s1_bits]
    left = iter([(_VOLUME, k) for k in range(len(s1) - len(_S1), 3)] + [(_OPEN, 1), (_VOLUME, 3)])
    s2 = _S2 + [next(left) for _ in range(config.s2_bits - len(_S2))]
    layout = _Layout(s1 + s2, [])
    layout.edges.append(_KNEE * np.sinh(np.linspace(-1, 1, 2**_COARSE + 1) * np.arcsinh(CLIP / _KNEE)))
    for value in range(1, len(_VALUES)):
        layout.edges.append(_cells(values @ _VALUES[value], 2 ** len(layout.of(value))))
    return layout


def _cells(sample: Float64Array, count: int) -> Float64Array:
    """Edges of the `count` cells that round a sample with the least squared error (Lloyd 1982)."""
    ordered = np.sort(sample)
    low, high = np.quantile(ordered, [0.001, 0.999])
    centres = np.linspace(low, high, 2 * count + 1)[1::2]
    for _ in range(100):
        places = np.searchsorted((centres[1:] + centres[:-1]) / 2, ordered)
        filled = np.bincount(places, minlength=count)
        means = np.bincount(places, ordered, minlength=count) / np.maximum(filled, 1)
        centres = np.where(filled > 0, means, centres)
    inner = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - inner[0], *inner, 2 * centres[-1] - inner[-1]])


def _wave(bit: int, place: Float64Array) -> Float64Array:
    """Triangle wave over [0, 1], ±1 at multiples of 2^-bit, whose sign is a bit of the Gray code."""
    phase = place * 2**bit % 2
    return np.asarray(np.where(phase <= 1, 2 * phase - 1, 3 - 2 * phase))


def _set_encoder(tokenizer: KronosTokenizer, layout: _Layout) -> None:
    config = tokenizer.config
    count, wave = len(_VALUES), len(_VALUES) + 1  # the channels: values, a constant, and a wave a bit
    nn.init.zeros_(tokenizer.embed.weight)
    nn.init.zeros_(tokenizer.embed.bias)
    tokenizer.embed.weight[:count] = torch.from_numpy(_VALUES).float()
    tokenizer.embed.bias[count] = _ENCODER_CONSTANT
    blocks: list[TransformerBlock] = list(tokenizer.encoder)  # type: ignore[arg-type]
    first, second, *_ = blocks
    for block in blocks:
        _undo_norms(block, _ENCODER_CONSTANT, _ENCODER_CONSTANT * config.d_model**-0.5, count)
    neurons = _Neurons(first.ffn, count)
    for value, edges in enumerate(layout.edges):
        places, at = layout.of(value)[:_COARSE], np.linspace(0, 1, len(edges))
        waves = np.stack([_wave(bit, at) for bit in range(len(places))])
        neurons.ramps(value, edges, waves, [wave + place for place in places])
    code = layout.of(_CLOSE)
    finest, fine = code[_COARSE - 1], code[_COARSE:]
    edges = np.linspace(-1, 1, 2 ** len(fine) + 1)
    waves = np.stack([_wave(_COARSE + k, (edges + 1) / 2**_COARSE) for k in range(len(fine))])
    _Neurons(second.ffn, count).ramps(wave + finest, edges, waves, [wave + place for place in fine])
    nn.init.zeros_(tokenizer.quant_embed.weight)
    nn.init.zeros_(tokenizer.quant_embed.bias)
    for place in range(len(layout.bits)):
        tokenizer.quant_embed.weight[place, wave + place] = 1.0


def _set_decoder(tokenizer: KronosTokenizer, layout: _Layout) -> None:
    config, bits = tokenizer.config, len(layout.bits)
    value, constant = bits, bits + len(_VALUES)  # the channels: bits, values, a constant, and the three below
    fine, cell, step = range(constant + 1, constant + 4)
    for embed, used in ((tokenizer.post_quant_embed, bits), (tokenizer.post_quant_embed_pre, config.s1_bits)):
        nn.init.zeros_(embed.weight)
        nn.init.zeros_(embed.bias)
        embed.weight[:used, :used] = torch.eye(used) * bits**0.5
        embed.bias[constant] = _DECODER_CONSTANT
    blocks: list[TransformerBlock] = list(tokenizer.decoder)  # type: ignore[arg-type]
    first, second, third, *_ = blocks
    for block in blocks:
        rms = ((_DECODER_CONSTANT**2 + bits) / config.d_model) ** 0.5
        _undo_norms(block, _DECODER_CONSTANT, rms, constant)
    neurons = _Neurons(first.ffn, constant)
    for which, edges in enumerate(layout.edges):
        places, middle = layout.of(which)[:_COARSE], (edges[1:] + edges[:-1]) / 2
        at = (np.arange(len(middle)) + 0.5) / len(middle)
        signs = np.sign([_wave(bit, at) for bit in range(len(places))]).T
        outputs = {value + which: middle}
        if which == _CLOSE:
            # Within a cell the second folding counts from its upper and from its lower edge in turn.
            outputs[cell] = np.diff(edges) * np.where(np.arange(len(middle)) % 2, -1, 1)
        neurons.matches(places, signs, outputs)
    places = layout.of(_CLOSE)[_COARSE:]
    height = (np.arange(2 ** len(places)) + 0.5) / 2 ** len(places)
    waves = [_wave(_COARSE + k, (1 - height) / 2**_COARSE) for k in range(len(places))]
    neurons.matches(places, np.sign(waves).T, {fine: 0.5 - height})
    _Neurons(second.ffn, constant).product(cell, fine, value + _CLOSE)
    _look_at(third.self_attn, 0, 1, value + _CLOSE, {step: 1.0})
    _look_at(third.self_attn, 1, 0, value + _CLOSE, {step: -1.0})
    nn.init.zeros_(tokenizer.head.weight)
    nn.init.zeros_(tokenizer.head.bias)
    tokenizer.head.weight[:, value : value + len(_VALUES)] = torch.from_numpy(_FEATURES).float()
    tokenizer.head.weight[0, step] = 1.0


def _look_at(attention: Attention, head: int, back: int, source: int, targets: dict[int, float]) -> None:
    """Let a head add a channel of the candle so many before to others, with weights.

    Queries and keys are the same everywhere, so that rotary positions alone decide: the product of a query
    at i with a key at j is the sum of cos((j - i + back) · frequency), which is largest at j = i - back.
    """
    frequencies = attention.rotary.inv_freq
    half = len(frequencies)
    start, spread = 2 * half * head, _ATTENTION**0.5
    for projection in (attention.q_proj, attention.k_proj):
        nn.init.zeros_(projection.weight[start : start + 2 * half])
    attention.q_proj.bias[start : start + half] = spread
    attention.q_proj.bias[start + half : start + 2 * half] = 0.0
    attention.k_proj.bias[start : start + half] = spread * torch.cos(back * frequencies)
    attention.k_proj.bias[start + half : start + 2 * half] = spread * torch.sin(back * frequencies)
    nn.init.zeros_(attention.v_proj.weight[start])
    nn.init.zeros_(attention.v_proj.bias[start : start + 1])
    attention.v_proj.weight[start, source] = 1.0
    for channel, weight in targets.items():
        attention.out_proj.weight[channel, start] = weight


def _undo_norms(block: TransformerBlock, constant: float, rms: float, place: int) -> None:
    """Norms that give what they are given, and 1 for the constant, while it outweighs the other channels."""
    for norm in (block.norm1, block.norm2):
        nn.init.constant_(norm.weight, rms)
        norm.weight[place] = rms / constant


class _Neurons:
    """Fills the neurons of a feed-forward layer, w2(silu(w1 x) · w3 x), one after the other."""

    def __init__(self, layer: FeedForward, constant: int) -> None:
        self._layer, self._constant, self._used = layer, constant, 0

    def ramps(self, source: int, edges: Float64Array, waves: Float64Array, targets: Sequence[int]) -> None:
        """Add piecewise linear functions of a channel to others, by their values (m, n) at the edges (n,)."""
        slopes = np.diff(waves, axis=1) / np.diff(edges)
        bends = np.diff(slopes, axis=1, prepend=0)
        for j, edge in enumerate(edges[:-1]):
            sharpness = _SHARPNESS / (edges[j + 1] - edge)
            inputs = {source: sharpness, self._constant: -sharpness * edge}
            gate = {self._constant: 1 / sharpness}
            self._add(inputs, gate, dict(zip(targets, bends[:, j], strict=True)))
        start = {self._constant: 1 / _SHARPNESS}
        self._add({self._constant: _SHARPNESS}, start, dict(zip(targets, waves[:, 0], strict=True)))

    def matches(self, bits: Sequence[int], signs: Float64Array, outputs: dict[int, Float64Array]) -> None:
        """Add outputs (m,) where the bits are those of a row of signs (m, bits)."""
        sharpness = _SHARPNESS / 2
        for row, pattern in enumerate(signs):
            inputs = {bit: sharpness * sign for bit, sign in zip(bits, pattern, strict=True)}
            inputs[self._constant] = -sharpness * (len(bits) - 1)
            gate = {self._constant: 1 / sharpness}
            self._add(inputs, gate, {channel: values[row] for channel, values in outputs.items()})

    def product(self, factor: int, other: int, target: int) -> None:
        """Add the product of two channels, of which the first is never near zero."""
        sharpness = 4 * _SHARPNESS
        for sign in (1.0, -1.0):
            self._add({factor: sign * sharpness}, {other: sign / sharpness}, {target: 1.0})

    def _add(self, inputs: dict[int, float], gate: dict[int, float], outputs: dict[int, float]) -> None:
        # The gate takes the sharpness back, so that a neuron gives no more than what it is about: with large
        # activations a training's first steps would undo all of this.
        layer, row = self._layer, self._used
        nn.init.zeros_(layer.w1.weight[row])
        nn.init.zeros_(layer.w3.weight[row])
        for channel, weight in inputs.items():
            layer.w1.weight[row, channel] = weight
        for channel, weight in gate.items():
            layer.w3.weight[row, channel] = weight
        for channel, weight in outputs.items():
            layer.w2.weight[channel, row] = weight
        self._used += 1
