"""Windows and settings of every kind against the upstream predictor, in a tiny size; the rest by size."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.model.sizes import SIZES
from market.candles import candle_features
from market.normalise import normalise
from tests.helpers.oracle import oracle_paths
from tests.helpers.real_windows import real_job
from tests.parity.checks import assert_same
from tests.parity.conftest import Pair

Pairs = Callable[[str], Pair]


@pytest.fixture(scope="module")
def tiny(pair: Pairs) -> Pair:
    return pair("tiny")


def test_the_tokenizer_gives_upstreams_tokens_on_real_windows(tiny: Pair, market_data: Path) -> None:
    starts = np.random.default_rng(0).integers(0, 3_000, 8)
    for symbol in ("BTC-USD", "EURUSD", "SPY", "XAUUSD", "USDJPY", "NVDA"):
        for start in starts:
            assert_same(tiny, real_job(market_data, symbol, int(start), 392, 1, top_k=1))


@pytest.mark.parametrize(
    ("length", "pred_len", "stride"),
    [(32, 1, 1), (32, 20, 1), (500, 13, 1), (500, 14, 1), (512, 2, 1), (600, 6, 1), (1_000, 3, 1)],
)
def test_every_place_of_the_window_in_the_context(
    tiny: Pair, market_data: Path, length: int, pred_len: int, stride: int
) -> None:
    job = real_job(market_data, "BTC-USD", 5_000, length, pred_len, top_k=1, context_stride=stride)
    assert_same(tiny, job)


def test_a_horizon_as_long_as_the_context(tiny: Pair, market_data: Path) -> None:
    """The final decode then sees generated candles only."""
    job = real_job(market_data, "BTC-USD", 5_000, 40, tiny.max_context, top_k=1)
    assert_same(tiny, job)


@pytest.mark.parametrize("columns", [4, 5])
def test_missing_volume_and_missing_amount(tiny: Pair, market_data: Path, columns: int) -> None:
    job = real_job(market_data, "BTC-USD", 5_000, 100, 5, top_k=1)
    prices = dict(zip(("open", "high", "low", "close"), job.candles.T, strict=False))
    volume = job.candles[:, 4] if columns == 5 else None
    assert_same(tiny, replace(job, candles=candle_features(**prices, volume=volume)), columns)


def test_many_paths_that_share_their_history(tiny: Pair, market_data: Path) -> None:
    job = real_job(market_data, "BTC-USD", 5_000, 100, 8, sample_count=9, seed=2, top_p=0.9)
    assert_same(tiny, job)


def test_features_that_never_move(tiny: Pair, market_data: Path) -> None:
    job = real_job(market_data, "EURUSD", 60_000, 100, 5, top_k=1)
    flat = job.candles.copy()
    flat[:] = flat[0]
    assert_same(tiny, replace(job, candles=flat))


def test_sampling_without_filter_and_with_top_p_near_its_ends(tiny: Pair, market_data: Path) -> None:
    for top_p in (1.0, 0.999, 0.5, 1e-6):
        job = real_job(market_data, "GBPUSD", 1_000, 64, 12, sample_count=3, seed=11, top_p=top_p)
        assert_same(tiny, job)


def test_normalisation_is_upstreams_to_the_bit(tiny: Pair, market_data: Path) -> None:
    job = real_job(market_data, "BTC-USD", 5_000, 392, 1)
    seen: list[np.ndarray] = []
    encode = tiny.oracle.tokenizer.encode

    def spy(x: Any, half: bool) -> Any:
        seen.append(x[0].numpy().copy())
        return encode(x, half=half)

    tiny.oracle.tokenizer.encode = spy
    try:
        oracle_paths(tiny.oracle, job)
    finally:
        tiny.oracle.tokenizer.encode = encode
    np.testing.assert_array_equal(normalise(job.candles).values, seen[0])


def test_sizes_are_the_published_ones(pair: Pairs) -> None:
    millions = {"mini": 4.1, "small": 24.7, "base": 102.3}
    import torch

    from export.model.decoder import KronosDecoder

    for name, expected in millions.items():
        with torch.device("meta"):
            decoder = KronosDecoder(SIZES[name].decoder)
        assert round(sum(p.numel() for p in decoder.parameters()) / 1e6, 1) == expected
