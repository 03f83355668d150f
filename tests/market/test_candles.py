"""The six features from columns: what missing columns become and what is refused."""

import numpy as np
import pytest

from market.candles import FEATURES, CandleError, candle_features, features_without_gaps

PRICES = {"open": [1.0, 2.0], "high": [4.0, 5.0], "low": [0.5, 1.0], "close": [2.5, 4.0]}


def test_all_six_columns_keep_their_values_and_order() -> None:
    features = candle_features(**PRICES, volume=[10, 20], amount=[30, 40])
    assert FEATURES == ("open", "high", "low", "close", "volume", "amount")
    np.testing.assert_array_equal(features, [[1, 4, 0.5, 2.5, 10, 30], [2, 5, 1, 4, 20, 40]])
    assert features.dtype == np.float64
    assert features.flags.c_contiguous


def test_missing_amount_is_volume_times_mean_price() -> None:
    np.testing.assert_array_equal(candle_features(**PRICES, volume=[10, 20])[:, 5], [20.0, 60.0])


@pytest.mark.parametrize("amount", [None, [30.0, 40.0]])
def test_missing_volume_zeroes_volume_and_amount(amount: list[float] | None) -> None:
    np.testing.assert_array_equal(candle_features(**PRICES, amount=amount)[:, 4:], np.zeros((2, 2)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e30])
@pytest.mark.parametrize("column", FEATURES)
def test_unusable_values_name_column_and_row(column: str, value: float) -> None:
    columns = {**PRICES, "volume": [1.0, 1.0], "amount": [1.0, 1.0]}
    columns[column] = [1.0, value]
    with pytest.raises(CandleError, match=rf"{column} is .* in row 1; expected a finite number") as refused:
        candle_features(**columns)
    assert (refused.value.column, refused.value.row) == (column, 1)


def test_an_amount_that_overflows_is_refused() -> None:
    with pytest.raises(CandleError, match="amount"):
        candle_features(**PRICES, volume=[1e16, 1e17])


@pytest.mark.parametrize("column", FEATURES[1:])
def test_unequal_lengths_are_refused(column: str) -> None:
    columns = {**PRICES, "volume": [1.0, 1.0], "amount": [1.0, 1.0]}
    columns[column] = [1.0]
    with pytest.raises(CandleError, match=f"{column} has 1 values and open has 2"):
        candle_features(**columns)


def test_a_nested_column_is_refused() -> None:
    with pytest.raises(CandleError, match=r"shape \(1, 2\)"):
        candle_features(**{**PRICES, "open": [[1.0, 2.0]]})  # type: ignore[list-item]


def test_no_candles_are_an_empty_array() -> None:
    assert candle_features([], [], [], []).shape == (0, 6)


@pytest.mark.parametrize(
    ("gap", "volume", "amount"),
    [((0, 4), [0, 0], [0, 0]), ((1, 5), [10, 20], [20, 60]), (None, [10, 20], [30, 40])],
)
def test_a_column_with_a_gap_counts_as_absent(
    gap: tuple[int, int] | None, volume: list[float], amount: list[float]
) -> None:
    candles = candle_features(**PRICES, volume=[10, 20], amount=[30, 40])
    if gap is not None:
        candles[gap] = np.nan
    filled = features_without_gaps(candles)
    np.testing.assert_array_equal(filled[:, :4], candles[:, :4])
    np.testing.assert_array_equal(filled[:, 4:].T, [volume, amount])
