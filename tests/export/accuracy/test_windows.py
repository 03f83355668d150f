from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.accuracy.errors import CandleFileError
from export.accuracy.windows import WINDOWS_OF_A_BLOCK, Shape, choose_windows, equal_shares
from tests.helpers.candle_series import walk

SHAPE = Shape(lookback=20, pred_len=4)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.data())
def test_shares_are_as_equal_as_what_is_available_permits(available: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(available)))
    shares = equal_shares(total, available)
    assert sum(shares) == total
    assert all(share <= most for share, most in zip(shares, available, strict=True))
    # Only a share that takes all there is may be smaller than another by more than one.
    assert all(
        share >= max(shares) - 1 or share == most for share, most in zip(shares, available, strict=True)
    )


def test_classes_and_symbols_have_equal_shares_and_futures_do_not_overlap() -> None:
    series = [
        walk("BTC-USD", 1000),
        walk("ETH-USD", 1000, seed=1),
        walk("EURUSD", 2000, seed=2),
        walk("SPY", 84, seed=3),  # 16 windows
    ]
    windows = choose_windows(series, SHAPE, 100)
    by_symbol = {s.symbol: [w for w in windows if w.series.symbol == s.symbol] for s in series}
    counts = {symbol: len(chosen) for symbol, chosen in by_symbol.items()}
    assert counts == {"BTC-USD": 21, "ETH-USD": 21, "EURUSD": 42, "SPY": 16}
    for chosen in by_symbol.values():
        assert all(b.first - a.first >= SHAPE.pred_len for a, b in pairwise(chosen))
        assert chosen[-1].first > 0.8 * (len(chosen[0].series) - len(SHAPE))
        blocks = [window.block for window in chosen]
        assert max(blocks.count(block) for block in blocks) == WINDOWS_OF_A_BLOCK
    assert len({w.block for w in windows}) == 5 + 5 + 9 + 4


def test_no_window_crosses_a_hole_or_has_a_history_that_never_moves() -> None:
    holed = walk("EURUSD", 200, hole_after=100)
    flat = walk("BTC-USD", 100)
    flat.candles[:60, 3] = 5.0
    windows = choose_windows([holed, flat], SHAPE, 40)
    for window in windows:
        assert np.ptp(window.timestamps) < np.timedelta64(2, "D")
        assert np.ptp(window.history[:, 3]) > 0
    assert {len(window.series) for window in windows if window.series.symbol == "EURUSD"} == {100}


def test_too_few_candles_are_refused_with_what_is_needed() -> None:
    with pytest.raises(CandleFileError, match=r"give 20 windows of 20 candles .* 300 are needed"):
        choose_windows([walk("BTC-USD", 100)], SHAPE, 300)


def test_the_parts_and_the_scale_of_a_window() -> None:
    (window, *_) = choose_windows([walk("BTC-USD", 100)], SHAPE, 20)
    candles = window.series.candles
    np.testing.assert_array_equal(window.history, candles[:20])
    np.testing.assert_array_equal(window.actual, candles[20:24, 3])
    changes = [candles[i + 1, 3] - candles[i, 3] for i in range(19)]
    mean = sum(changes) / 19
    deviation = (sum((change - mean) ** 2 for change in changes) / 19) ** 0.5
    np.testing.assert_allclose(window.scale, [deviation * step**0.5 for step in (1, 2, 3, 4)])
