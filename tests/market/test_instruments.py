from pathlib import Path

import numpy as np
import polars as pl

from market.instruments import ASSET_CLASSES, default_instruments
from market.time_grid import past_timestamps
from market.timeframes import TIMEFRAMES


def test_every_instrument_has_a_class_and_a_calendar_that_the_grid_knows() -> None:
    table = default_instruments()
    for symbol, instrument in table.items():
        assert instrument.symbol == symbol
        assert instrument.asset_class in ASSET_CLASSES
    for instrument in {instrument.calendar: instrument for instrument in table.values()}.values():
        for timeframe in TIMEFRAMES:
            assert len(past_timestamps(instrument, timeframe, np.datetime64("2022-06-15"), 5)) == 5


def test_every_real_series_is_known(market_data: Path) -> None:
    for timeframe in ("1h", "1d"):
        symbols = pl.read_parquet(market_data / f"candles_{timeframe}.parquet")["symbol"].unique()
        assert set(symbols) <= set(default_instruments())


def test_only_shares_that_upstream_was_trained_on_in_local_time_have_a_clock_of_their_own() -> None:
    zones = {"XSHG": "Asia/Shanghai", "XHKG": "Asia/Hong_Kong", "XTKS": "Asia/Tokyo"}
    table = default_instruments().values()
    assert {instrument.calendar for instrument in table} >= set(zones)
    for instrument in table:
        assert instrument.model_time_zone == zones.get(instrument.calendar, "UTC")
