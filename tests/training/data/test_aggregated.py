from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from flows.runtime.table_columns import CANDLES
from market.aggregation import aggregate
from market.instruments import default_instruments
from tests.helpers.stretches import stretch
from training.data.aggregated import with_timeframes
from training.data.stretches import Material, Stretch, TrainingError

SEGMENT = {"symbol": pl.String(), "timeframe": pl.String(), "start": pl.Datetime("us", "UTC")} | {
    "end": pl.Datetime("us", "UTC"),
    **dict.fromkeys(("licence", "volume_unit", "repo"), pl.String()),
}

BEFORE_MIDNIGHT = "2020-01-05T23:00"  # the first candle opens at midnight


def rows_of(source: Stretch) -> pl.DataFrame:
    """Candles as the tables hold them; the amount is unknown."""
    values = dict(zip(("open", "high", "low", "close", "volume"), source.candles.T.copy(), strict=False))
    stamps = pl.Series(source.timestamps).dt.replace_time_zone("UTC")
    symbol = [source.instrument.symbol] * len(source)
    return pl.DataFrame({"symbol": symbol, "ts": stamps, **values, "amount": None}, schema=CANDLES)


def material(*sources: Stretch, segments: pl.DataFrame | None = None) -> Material:
    tables: dict[str, list[pl.DataFrame]] = {}
    for source in sources:
        tables.setdefault(source.timeframe, []).append(rows_of(source))
    candles = {timeframe: pl.concat(parts) for timeframe, parts in tables.items()}
    return Material(candles, default_instruments(), segments)


def segments(*spans: tuple[str, str, str, str, str]) -> pl.DataFrame:
    """Segments of (symbol, timeframe, start, end, licence)."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timeframe": timeframe,
                "start": datetime.fromisoformat(start).replace(tzinfo=UTC),
                "end": datetime.fromisoformat(end).replace(tzinfo=UTC),
                "licence": licence,
                "volume_unit": "coin",
                "repo": f"feed/{start}",
            }
            for symbol, timeframe, start, end, licence in spans
        ],
        schema=SEGMENT,
    )


@pytest.mark.parametrize("timeframe", ["2h", "4h", "1d"])
@pytest.mark.parametrize("symbol", ["EURUSD", "BTC-USD"])
def test_a_timeframe_without_candles_has_those_of_the_product_s_aggregation(
    symbol: str, timeframe: str
) -> None:
    source = stretch(400, symbol)
    (coarse,) = with_timeframes(material(source), [timeframe]).stretches()
    expected = aggregate(source.instrument, timeframe, "1h", source.timestamps, source.candles)
    assert coarse.timeframe == timeframe
    np.testing.assert_array_equal(coarse.timestamps, expected.timestamps)
    np.testing.assert_allclose(coarse.candles[:, :5], expected.features[:, :5], rtol=1e-12)
    # An unknown amount becomes volume times the mean price of the coarse candle, as in a forecast.
    np.testing.assert_allclose(
        coarse.candles[:, 5], coarse.candles[:, 4] * coarse.candles[:, :4].mean(axis=1), rtol=1e-12
    )


def test_candles_of_a_timeframe_s_own_are_kept_and_only_symbols_without_any_aggregated() -> None:
    hourly, coin = stretch(400), stretch(400, "BTC-USD", start=BEFORE_MIDNIGHT)
    daily = stretch(30, timeframe="1d", seed=1)
    found = with_timeframes(material(hourly, coin, daily), ["1d"]).stretches()
    by_symbol = {part.instrument.symbol: part for part in found}
    np.testing.assert_array_equal(by_symbol["EURUSD"].candles[:, 3], daily.candles[:, 3])
    assert len(by_symbol["BTC-USD"]) == 400 // 24


def test_they_come_from_the_coarsest_finer_timeframe() -> None:
    minutes, hours = stretch(2000, "BTC-USD", "5m"), stretch(50, "BTC-USD", "1h", BEFORE_MIDNIGHT, seed=1)
    (coarse,) = with_timeframes(material(minutes, hours), ["4h"]).stretches()
    assert len(coarse) == 12
    assert coarse.candles[0, 3] == hours.candles[3, 3]


def test_a_feed_s_aggregated_candles_have_its_licence_and_no_part_of_another() -> None:
    source = stretch(24 * 8, "BTC-USD", start=BEFORE_MIDNIGHT)
    permitted = segments(
        ("BTC-USD", "1h", "2020-01-06T00:00", "2020-01-08T12:00", "MIT"),
        ("BTC-USD", "1h", "2020-01-08T13:00", "2020-01-12T05:00", "Apache-2.0"),
    )
    found = with_timeframes(material(source, segments=permitted), ["1h", "1d"]).stretches()
    daily = [
        (part.licence, part.origin, *part.timestamps[[0, -1]].astype("datetime64[D]").astype(str))
        for part in found
        if part.timeframe == "1d"
    ]
    assert daily == [
        ("MIT", "feed/2020-01-06T00:00", "2020-01-06", "2020-01-07"),
        ("Apache-2.0", "feed/2020-01-08T13:00", "2020-01-09", "2020-01-11"),
    ]
    assert [len(part) for part in found if part.timeframe == "1h"] == [61, 89]


def test_candles_of_its_own_that_a_licence_forbids_are_replaced_by_permitted_aggregated_ones() -> None:
    hourly, daily = stretch(24 * 8, "BTC-USD", start=BEFORE_MIDNIGHT), stretch(20, "BTC-USD", "1d", seed=1)
    permitted = segments(("BTC-USD", "1h", "2020-01-06T00:00", "2020-01-20T00:00", "MIT"))
    (coarse,) = with_timeframes(material(hourly, daily, segments=permitted), ["1d"]).stretches()
    assert len(coarse) == 8
    assert coarse.candles[0, 3] == hourly.candles[23, 3]
    assert coarse.licence == "MIT"


def test_a_timeframe_finer_than_every_candle_has_none() -> None:
    with pytest.raises(TrainingError, match="no usable candles of any symbol"):
        with_timeframes(material(stretch(100)), ["5m"]).stretches()


def test_without_a_choice_the_stored_timeframes_are_used() -> None:
    whole = material(stretch(100), stretch(30, timeframe="1d"))
    assert with_timeframes(whole, None) is whole
