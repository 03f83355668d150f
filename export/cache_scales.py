"""Measures the scales of 8-bit key and value caches.

GroupQueryAttention rounds what it appends to a cache with one scale for each channel of each head, which are
constants of the graph. They come from the largest keys and values of the decoder in torch on histories of
candles and on random tokens at random times: a market that is unlike all of those candles has other tokens,
and candles of another timeframe have other minutes.

Rotation turns a pair of a key's channels by an angle that depends on the place in the context, so both have
the scale of the pair's length.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from export.accuracy.measure import effort_for
from export.accuracy.tokens import encode_windows
from export.accuracy.windows import CandleSeries, choose_windows
from export.attention import head_padding
from export.caches import Scales
from export.int8 import LARGEST_INT8
from export.model.adapter import Adapter, merged
from export.model.checkpoint import Checkpoint
from export.model.decoder import TIME_FIELDS, KronosDecoder
from export.model.event_encoder import EventEncoder
from export.onnx_export import export_encoder
from inference_server.engine.bundle import ENCODE_FILE
from market.event_channels import EVENT_CHANNELS

WINDOWS: Final = 30
"""Histories of candles."""

RANDOM_WINDOWS: Final = 10
"""Sequences of random tokens and times."""

MARGIN: Final = 1.25
"""How much larger than the largest value found a value may be before it is cut off."""

_EVENT_SHARE: Final = 0.1  # of the values of event arrays that are not zero
_ROWS: Final = 5  # that run at once


@dataclass(frozen=True)
class _Sequences:
    """Tokens (B, N) and time fields (B, N, 5)."""

    s1: Tensor
    s2: Tensor
    stamp: Tensor


def measure_cache_scales(
    checkpoint: Checkpoint,
    max_context: int,
    series: Sequence[CandleSeries],
    encoder: EventEncoder | None = None,
    adapter: Adapter | None = None,
) -> list[Scales]:
    """Return the scales of every transformer block.

    Parameters
    ----------
    checkpoint, max_context, encoder, adapter
        What is exported.
    series
        Candles to measure on.

    Raises
    ------
    CandleFileError
        The candles are too few.
    """
    decoder = checkpoint.decoder
    parameters = sum(p.numel() for p in decoder.parameters())
    shape = effort_for(parameters, max_context).shape
    windows = choose_windows(series, shape, WINDOWS)
    with tempfile.TemporaryDirectory() as folder:
        export_encoder(checkpoint.tokenizer, Path(folder) / ENCODE_FILE)
        tokens = encode_windows(Path(folder), windows, None)
    real = _Sequences(
        *(torch.from_numpy(x[:, : shape.lookback]) for x in (tokens.s1, tokens.s2, tokens.stamp))
    )
    generator = torch.Generator().manual_seed(0)
    sequences = [real, _random_sequences(decoder, shape.lookback, generator)]
    largest = _Largest(decoder)
    for sequence in sequences:
        largest.run(decoder, sequence, None)
    if encoder is not None:
        adapted = decoder
        if adapter is not None:
            adapted = KronosDecoder(decoder.config).eval()
            adapted.load_state_dict(merged(decoder, adapter))
        for sequence in sequences:
            largest.run(adapted, sequence, _random_events(encoder, sequence, generator))
    return largest.scales()


def _random_sequences(decoder: KronosDecoder, length: int, generator: torch.Generator) -> _Sequences:
    sizes = [2**decoder.config.s1_bits, 2**decoder.config.s2_bits, *(size for _, size in TIME_FIELDS)]
    shape = (RANDOM_WINDOWS, length)
    s1, s2, *fields = (torch.randint(size, shape, generator=generator) for size in sizes)
    return _Sequences(s1, s2, torch.stack(fields, dim=-1))


def _random_events(encoder: EventEncoder, sequence: _Sequences, generator: torch.Generator) -> Tensor:
    """Return the embedding (B, N, d) of event arrays most of whose values are zero."""
    shape = (*sequence.s1.shape, len(EVENT_CHANNELS))
    given = torch.rand(shape, generator=generator) < _EVENT_SHARE
    with torch.no_grad():
        embedding: Tensor = encoder(torch.randn(shape, generator=generator) * given)
    return embedding


class _Largest:
    """The largest absolute keys (after rotation, at any angle) and values of every channel of each block."""

    def __init__(self, decoder: KronosDecoder) -> None:
        self._heads = decoder.config.n_heads
        blocks = len(decoder.blocks)
        self._keys: list[Tensor | None] = [None] * blocks
        self._values: list[Tensor | None] = [None] * blocks

    def run(self, decoder: KronosDecoder, sequences: _Sequences, embedding: Tensor | None) -> None:
        """Run torch over sequences, and keep what is larger than before."""
        hooks: list[RemovableHandle] = []
        for i, block in enumerate(decoder.blocks):
            attention = block.self_attn
            hooks.append(attention.k_proj.register_forward_hook(partial(self._keep_keys, i)))
            hooks.append(attention.v_proj.register_forward_hook(partial(self._keep_values, i)))
        try:
            with torch.no_grad():
                for first in range(0, len(sequences.s1), _ROWS):
                    part = slice(first, first + _ROWS)
                    added = None if embedding is None else embedding[part]
                    decoder.hidden(sequences.s1[part], sequences.s2[part], sequences.stamp[part], added)
        finally:
            for hook in hooks:
                hook.remove()

    def _keep_keys(self, block: int, module: nn.Module, inputs: object, keys: Tensor) -> None:
        halves = keys.reshape(-1, self._heads, 2, keys.shape[-1] // self._heads // 2)
        lengths = halves.square().sum(dim=2, keepdim=True).sqrt().amax(dim=0)
        self._keys[block] = _larger(self._keys[block], lengths.expand(-1, 2, -1))

    def _keep_values(self, block: int, module: nn.Module, inputs: object, values: Tensor) -> None:
        largest = values.flatten(0, 1).abs().amax(dim=0).reshape(self._heads, 2, -1)
        self._values[block] = _larger(self._values[block], largest)

    def scales(self) -> list[Scales]:
        """Return the scales of channels that are padded as the caches are."""
        return [
            Scales(_padded_scale(keys), _padded_scale(values))
            for keys, values in zip(self._keys, self._values, strict=True)
            if keys is not None and values is not None
        ]


def _larger(known: Tensor | None, found: Tensor) -> Tensor:
    return found if known is None else torch.maximum(known, found)


def _padded_scale(largest: Tensor) -> Tensor:
    """(heads, 2, head_dim / 2) to (heads · padded head_dim,)."""
    padding = head_padding(2 * largest.shape[-1])
    scale = (largest * (MARGIN / LARGEST_INT8)).clamp(min=torch.finfo(torch.float32).tiny)
    return F.pad(scale, (0, padding), value=1.0).flatten()
