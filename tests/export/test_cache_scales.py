"""Scales of 8-bit caches: they hold every key, at any place in the context, and every value that was met."""

import copy

import pytest
import torch

from export.accuracy.generated import generated_candles
from export.attention import head_padding, padded_head_dim
from export.cache_scales import MARGIN, measure_cache_scales
from export.int8 import LARGEST_INT8
from export.model.checkpoint import Checkpoint
from export.model.event_encoder import EventEncoder
from export.model.layers import rotate


@pytest.fixture(scope="module")
def candles():  # type: ignore[no-untyped-def]
    return generated_candles()


def test_keys_and_values_fit_at_every_place(tiny_checkpoint: Checkpoint, candles) -> None:  # type: ignore[no-untyped-def]
    decoder = tiny_checkpoint.decoder
    scales = measure_cache_scales(tiny_checkpoint, 512, candles)
    heads, head_dim = decoder.config.n_heads, decoder.config.head_dim
    assert len(scales) == len(decoder.blocks)
    assert scales[0].key.shape == (heads * padded_head_dim(head_dim),)
    rows = torch.randint(2**decoder.config.s1_bits, (4, 512), generator=torch.Generator().manual_seed(9))
    stamp = torch.ones(4, 512, 5, dtype=torch.int64)
    block, found = decoder.blocks[0], {}
    for name in ("k_proj", "v_proj"):
        getattr(block.self_attn, name).register_forward_hook(
            lambda module, inputs, output, name=name: found.update({name: output})
        )
    with torch.no_grad():
        decoder.hidden(rows, rows, stamp)
    split = {name: x.reshape(4, 512, heads, head_dim).transpose(1, 2) for name, x in found.items()}
    keys = rotate(split["k_proj"], *block.self_attn.rotary.angles(torch.arange(512)))
    half, padding = head_dim // 2, head_padding(head_dim)
    real = torch.arange(2 * (half + padding)) % (half + padding) < half
    for x, scale in ((keys, scales[0].key), (split["v_proj"], scales[0].value)):
        steps = x / scale.reshape(heads, -1)[:, real].unsqueeze(1)
        # Other tokens than those measured may be a little beyond, which the margin is for.
        assert steps.abs().max() <= LARGEST_INT8
        assert steps.abs().max() > LARGEST_INT8 / MARGIN / 4


def test_minutes_that_hourly_candles_never_have_count_too(tiny_checkpoint: Checkpoint, candles) -> None:  # type: ignore[no-untyped-def]
    """Candles of five minutes have them, and the scales are the same for every timeframe."""
    before = measure_cache_scales(tiny_checkpoint, 512, candles)
    changed = copy.deepcopy(tiny_checkpoint)
    with torch.no_grad():
        minutes = changed.decoder.time_emb.get_parameter("minute_embed.weight")
        minutes[1:30].mul_(100)  # shares open at half past
    after = measure_cache_scales(changed, 512, candles)
    assert (after[0].value != before[0].value).any()


def test_events_widen_what_they_enlarge(tiny_checkpoint: Checkpoint, candles) -> None:  # type: ignore[no-untyped-def]
    without = measure_cache_scales(tiny_checkpoint, 512, candles)
    encoder = EventEncoder(tiny_checkpoint.decoder.config.d_model)
    with torch.no_grad():
        encoder.proj.weight.mul_(100)
    widened = measure_cache_scales(tiny_checkpoint, 512, candles, encoder)
    assert all((b.key >= a.key).all() for a, b in zip(without, widened, strict=True))
    assert (widened[0].value > without[0].value).any()
