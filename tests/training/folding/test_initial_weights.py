from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from export.model.checkpoint import randomise
from export.model.sizes import SIZES
from export.model.tokenizer import KronosTokenizer
from training.folding import PRICE_LIMIT, fits, fold

LARGE_ENOUGH = SIZES["demo"].tokenizer


def walks(count: int = 4, length: int = 400) -> np.ndarray:
    """Normalised candles (count, length, 6) of random walks whose opens are the closes before."""
    rng = np.random.default_rng(0)
    close = np.cumsum(rng.normal(0, 0.12, (count, length)), axis=1)
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    wicks = rng.exponential(0.06, (2, count, length))
    volume = rng.normal(0, 1, (count, length))
    high, low = np.maximum(opened, close) + wicks[0], np.minimum(opened, close) - wicks[1]
    candles: np.ndarray = np.stack([opened, high, low, close, volume, volume], axis=-1)
    return candles.clip(-5, 5)


def folded(s1_bits: int = 9, s2_bits: int = 9) -> KronosTokenizer:
    tokenizer = KronosTokenizer(replace(LARGE_ENOUGH, s1_bits=s1_bits, s2_bits=s2_bits)).eval()
    randomise(tokenizer, 1)
    fold(tokenizer, walks().reshape(-1, 6))
    return tokenizer


def closes(values: np.ndarray) -> torch.Tensor:
    """Candles of no extent at these closes, (1, n, 6)."""
    candles = np.zeros((1, len(values), 6), np.float32)
    candles[0, :, :4] = values[:, None]
    return torch.from_numpy(candles)


@pytest.mark.parametrize("bits", [(9, 9), (10, 10), (9, 10)])
def test_untrained_it_rounds_finer_than_a_trained_one_does(bits: tuple[int, int]) -> None:
    values = torch.from_numpy(walks().astype(np.float32))
    tokenizer = folded(*bits)
    with torch.no_grad():
        rebuilt = tokenizer.decode(*tokenizer.encode(values))
    error = (rebuilt - values).abs().mean(dim=(0, 1))
    opened, high, low, close, volume, amount = error.tolist()
    assert close < 0.015
    assert opened < 0.03  # from the close before
    assert max(high, low) < 0.03
    assert max(volume, amount) < 0.35


def test_a_close_is_never_rounded_beyond_its_cell() -> None:
    values = np.linspace(-0.98 * PRICE_LIMIT, 0.98 * PRICE_LIMIT, 3001)
    tokenizer = folded()
    with torch.no_grad():
        # One by one, each as a window of its own: nothing but its own bits tells a close.
        rows = closes(values).transpose(0, 1)
        rebuilt = tokenizer.decode(*tokenizer.encode(rows))[:, 0, 3].numpy()
    cell = 0.0113 * np.sqrt(1 + (values / 0.94) ** 2)
    assert (np.abs(rebuilt - values) < 2 * cell).all()


def test_a_path_beyond_the_clip_of_a_history_is_not_held_at_it() -> None:
    falling = np.linspace(-4.0, -9.5, 100)
    tokenizer = folded()
    with torch.no_grad():
        rebuilt = tokenizer.decode(*tokenizer.encode(closes(falling)))[0, :, 3].numpy()
    assert rebuilt[-1] < -9
    assert len(np.unique(rebuilt.round(2))) > 30


def test_neighbouring_closes_differ_in_one_bit() -> None:
    tokenizer = folded()
    with torch.no_grad():
        sweep = np.linspace(-0.98 * PRICE_LIMIT, 0.98 * PRICE_LIMIT, 20_001)
        signs = tokenizer.quantiser_input(closes(sweep)) > 0
    changed = (signs[0, 1:] != signs[0, :-1]).sum(dim=1)
    assert changed.max() == 1
    assert changed.sum() > 500  # of 511 edges, those beyond the sweep left out


def test_the_code_is_kept_and_the_rest_is_trained() -> None:
    tokenizer = folded()
    trained = {name.split(".")[0] for name, p in tokenizer.named_parameters() if p.requires_grad}
    assert trained == {"decoder", "head", "post_quant_embed", "post_quant_embed_pre"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"s1_bits": 10, "s2_bits": 10}, True),
        ({"n_enc_layers": 2}, False),
        ({"n_dec_layers": 3}, False),
        ({"s1_bits": 8}, False),
        ({"ff_dim": 64}, False),
    ],
)
def test_what_is_large_enough(changes: dict[str, Any], expected: bool) -> None:
    assert fits(replace(LARGE_ENOUGH, **changes)) is expected


@pytest.mark.parametrize("size", ["mini", "small", "base"])
def test_the_published_sizes_are_large_enough(size: str) -> None:
    tokenizer = KronosTokenizer(SIZES[size].tokenizer).eval()
    assert fits(tokenizer.config)
    randomise(tokenizer, 1)
    fold(tokenizer, walks().reshape(-1, 6))
    values = torch.from_numpy(walks(1).astype(np.float32))
    with torch.no_grad():
        rebuilt = tokenizer.decode(*tokenizer.encode(values))
    assert (rebuilt - values)[..., 3].abs().mean() < 0.015
