"""Overwrites the weights of a tokenizer so that it encodes and decodes the folding code."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import torch
from torch import nn

from export.model.config import TokenizerConfig
from export.model.layers import TransformerBlock
from export.model.tokenizer import KronosTokenizer
from market.candles import FEATURES
from market.types import Float64Array
from training.folding.blocks import NeuronWriter, add_earlier_value, make_norms_identity
from training.folding.code import (
    COARSE_BITS,
    FROM_FEATURES,
    TO_FEATURES,
    Code,
    Quantity,
    fitted_code,
    gray_waves,
)

# Constants of the encoder's and the decoder's channel that outweighs the others in the norms.
_ENCODER_LEVEL: Final = 32.0
_DECODER_LEVEL: Final = 32.0


@dataclass(frozen=True)
class EncoderChannels:
    """What the encoder's channels hold.

    Attributes
    ----------
    quantities
        One channel for each `Quantity`.
    constant
        A constant.
    waves
        For each bit of the code, the triangle wave whose sign is the bit.
    """

    quantities: range
    constant: int
    waves: range

    @classmethod
    def of(cls, code: Code) -> Self:
        """Lay the channels out one after the other."""
        constant = len(Quantity)
        return cls(range(constant), constant, range(constant + 1, constant + 1 + len(code.bits)))


@dataclass(frozen=True)
class DecoderChannels:
    """What the decoder's channels hold.

    Attributes
    ----------
    bits
        Each bit of the code, -1 or 1.
    quantities
        One channel for each `Quantity`.
    constant
        A constant.
    offset_in_cell
        Where the close is in its coarse cell: from -1/2 to 1/2, upwards in the cells 0, 2, 4 … and downwards
        in the others, since each fold of the wave changes its direction.
    cell_width
        The width of that cell, negative where the offset counts downwards.
    close_change
        The close before minus the close.
    """

    bits: range
    quantities: range
    constant: int
    offset_in_cell: int
    cell_width: int
    close_change: int

    @classmethod
    def of(cls, code: Code) -> Self:
        """Lay the channels out one after the other."""
        bits = range(len(code.bits))
        quantities = range(bits.stop, bits.stop + len(Quantity))
        constant = quantities.stop
        return cls(bits, quantities, constant, constant + 1, constant + 2, constant + 3)


def fits(config: TokenizerConfig) -> bool:
    """Return whether a tokenizer is large enough to begin as a folding quantiser."""
    enough_blocks = config.n_enc_layers >= 3 and config.n_dec_layers >= 4
    enough_bits = config.s1_bits in (9, 10) and config.s2_bits in (9, 10)
    return enough_blocks and enough_bits and config.d_model >= 32 and config.ff_dim >= 96


def fold(tokenizer: KronosTokenizer, candles: Float64Array) -> None:
    """Make a tokenizer for which `fits` holds a folding quantiser, and freeze its encoder.

    Attention, neurons and channels that the quantiser does not need have no effect to begin with; their
    gradients are not zero, so training can use them.

    Parameters
    ----------
    candles
        (n, 6) normalised candles, whose spread decides the cells of all quantities but the close.
    """
    code = fitted_code(tokenizer.config, candles)
    for part in (tokenizer.embed, tokenizer.encoder, tokenizer.quant_embed):
        part.requires_grad_(False)
    with torch.no_grad():
        for block in (*tokenizer.encoder, *tokenizer.decoder):
            _zero(block.self_attn.out_proj)
            nn.init.zeros_(block.ffn.w2.weight)
        _set_encoder(tokenizer, code)
        _set_decoder(tokenizer, code)


def _set_encoder(tokenizer: KronosTokenizer, code: Code) -> None:
    """Quantities, then coarse waves of the quantities, then fine waves of the close, then the bits."""
    channels = EncoderChannels.of(code)
    blocks: list[TransformerBlock] = list(tokenizer.encoder)  # type: ignore[arg-type]
    rms = _ENCODER_LEVEL * tokenizer.config.d_model**-0.5
    for block in blocks:
        make_norms_identity(block, channels.constant, _ENCODER_LEVEL, rms)

    _zero(tokenizer.embed)
    tokenizer.embed.weight[channels.quantities] = torch.from_numpy(FROM_FEATURES).float()
    tokenizer.embed.bias[channels.constant] = _ENCODER_LEVEL

    coarse = NeuronWriter(blocks[0].ffn, channels.constant)
    for quantity, edges in code.edges.items():
        bits = code.coarse_positions(quantity)
        waves = gray_waves(range(len(bits)), np.linspace(0, 1, len(edges)))
        coarse.add_piecewise_linear(
            channels.quantities[quantity], edges, waves, [channels.waves[bit] for bit in bits]
        )

    # The finest coarse wave of the close runs between -1 and 1 once in every two cells; the waves that divide
    # two cells further are the same for each pair, so they are functions of that wave.
    finest = code.coarse_positions(Quantity.CLOSE)[-1]
    bits = code.fine_positions()
    knots = np.linspace(-1, 1, 2 ** len(bits) + 1)
    waves = gray_waves(_fine_ranks(bits), (knots + 1) / 2**COARSE_BITS)
    fine = NeuronWriter(blocks[1].ffn, channels.constant)
    fine.add_piecewise_linear(channels.waves[finest], knots, waves, [channels.waves[bit] for bit in bits])

    _zero(tokenizer.quant_embed)
    for bit, wave in enumerate(channels.waves):
        tokenizer.quant_embed.weight[bit, wave] = 1.0


def _set_decoder(tokenizer: KronosTokenizer, code: Code) -> None:
    """Bits, then the middle of each quantity's cell, then the close within its cell, then the open."""
    channels = DecoderChannels.of(code)
    close = channels.quantities[Quantity.CLOSE]
    blocks: list[TransformerBlock] = list(tokenizer.decoder)  # type: ignore[arg-type]
    rms = ((_DECODER_LEVEL**2 + len(code.bits)) / tokenizer.config.d_model) ** 0.5
    for block in blocks:
        make_norms_identity(block, channels.constant, _DECODER_LEVEL, rms)

    all_bits, s1_bits = len(code.bits), tokenizer.config.s1_bits
    for embed, count in ((tokenizer.post_quant_embed, all_bits), (tokenizer.post_quant_embed_pre, s1_bits)):
        _zero(embed)
        embed.weight[:count, :count] = torch.eye(count) * all_bits**0.5
        embed.bias[channels.constant] = _DECODER_LEVEL

    lookups = NeuronWriter(blocks[0].ffn, channels.constant)
    for quantity, edges in code.edges.items():
        bits, cells = code.coarse_positions(quantity), np.arange(len(edges) - 1)
        patterns = np.sign(gray_waves(range(len(bits)), (cells + 0.5) / len(cells))).T
        outputs = {channels.quantities[quantity]: (edges[1:] + edges[:-1]) / 2}
        if quantity is Quantity.CLOSE:
            outputs[channels.cell_width] = np.diff(edges) * np.where(cells % 2, -1, 1)
        lookups.add_lookup(bits, patterns, outputs)

    bits = code.fine_positions()
    in_first_cell = 1 - (np.arange(2 ** len(bits)) + 0.5) / 2 ** len(bits)
    patterns = np.sign(gray_waves(_fine_ranks(bits), in_first_cell / 2**COARSE_BITS)).T
    lookups.add_lookup(bits, patterns, {channels.offset_in_cell: in_first_cell - 0.5})

    product = NeuronWriter(blocks[1].ffn, channels.constant)
    product.add_product(channels.cell_width, channels.offset_in_cell, close)

    attention = blocks[2].self_attn
    add_earlier_value(attention, 0, 1, close, channels.close_change, 1.0)
    add_earlier_value(attention, 1, 0, close, channels.close_change, -1.0)

    _zero(tokenizer.head)
    tokenizer.head.weight[:, channels.quantities] = torch.from_numpy(TO_FEATURES).float()
    tokenizer.head.weight[FEATURES.index("open"), channels.close_change] = 1.0


def _fine_ranks(bits: list[int]) -> range:
    return range(COARSE_BITS, COARSE_BITS + len(bits))


def _zero(linear: nn.Linear) -> None:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
