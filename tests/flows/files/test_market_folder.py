"""A folder of market files: which files are read, and how the error about a broken one names it."""

from pathlib import Path

import polars as pl
import pytest

from flows.files.frames import TableError
from flows.files.market_folder import (
    data_file,
    folder_calendar,
    folder_candles,
    folder_instruments,
    unchecked_frames,
)
from market.instruments import Instrument, default_instruments

CANDLES = "symbol,timestamp,open,high,low,close\nSPY,2024-01-02T15:00:00Z,1,2,0.5,1.5\n"


def test_parquet_is_taken_before_csv(tmp_path: Path) -> None:
    assert data_file(tmp_path, "candles_1h") is None
    (tmp_path / "candles_1h.csv").write_text(CANDLES)
    assert data_file(tmp_path, "candles_1h") == tmp_path / "candles_1h.csv"
    pl.read_csv(tmp_path / "candles_1h.csv").write_parquet(tmp_path / "candles_1h.parquet")
    assert data_file(tmp_path, "candles_1h") == tmp_path / "candles_1h.parquet"


def test_an_absent_file_is_none_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert folder_candles(tmp_path, "1d") is None
    assert folder_calendar(tmp_path) is None
    (tmp_path / "candles_1h.csv").write_text(CANDLES)
    candles = folder_candles(tmp_path, "1h")
    assert candles is not None
    assert candles["symbol"].to_list() == ["SPY"]
    for name in ("candles_1d", "economic_calendar"):
        (tmp_path / f"{name}.csv").write_text("symbol\nSPY\n")
    with pytest.raises(TableError, match=r"candles_1d\.csv: "):
        folder_candles(tmp_path, "1d")
    with pytest.raises(TableError, match=r"economic_calendar\.csv: "):
        folder_calendar(tmp_path)


def test_a_file_of_instruments_adds_to_the_packaged_ones(tmp_path: Path) -> None:
    assert folder_instruments(tmp_path) == default_instruments()
    (tmp_path / "instruments.csv").write_text(
        "symbol,asset_class,calendar,allow_nonpositive,tick_size,aliases,active\n"
        "CL-SPREAD,commodity,FX:XNYS,true,0.01,CLS;CL1-CL2,true\n"
        "SPY,equity,XNYS,,,,false\n"
    )
    known = folder_instruments(tmp_path)
    assert known["CL-SPREAD"] == Instrument(
        "CL-SPREAD", "commodity", "FX:XNYS", True, aliases=["CLS", "CL1-CL2"], tick_size=0.01
    )
    assert known["SPY"] == Instrument("SPY", "equity", "XNYS")
    assert known["EURUSD"] == default_instruments()["EURUSD"]
    (tmp_path / "instruments.csv").write_text("symbol,asset_class,calendar\nX,bond,XNYS\n")
    with pytest.raises(TableError, match=r"instruments\.csv: asset_class is none of crypto"):
        folder_instruments(tmp_path)


def test_prices_of_zero_and_below_need_an_instrument_that_allows_them(tmp_path: Path) -> None:
    (tmp_path / "candles_1h.csv").write_text(CANDLES.replace("1,2,0.5,1.5", "-1,2,-3,0"))
    with pytest.raises(TableError, match="set allow_nonpositive of the instrument"):
        folder_candles(tmp_path, "1h")
    spread = Instrument("SPY", "equity", "XNYS", allow_nonpositive=True)
    candles = folder_candles(tmp_path, "1h", {"SPY": spread})
    assert candles is not None
    assert candles["close"].to_list() == [0.0]


def test_unchecked_frames_are_the_files_as_written(tmp_path: Path) -> None:
    assert unchecked_frames(tmp_path) == {}
    (tmp_path / "economic_calendar.csv").write_text("column\nvalue\n")
    (tmp_path / "candles_1h.csv").write_text(CANDLES)
    frames = unchecked_frames(tmp_path)
    assert list(frames) == ["candles_1h", "economic_calendar"]
    assert frames["economic_calendar"].to_dicts() == [{"column": "value"}]
    assert frames["candles_1h"]["open"].to_list() == ["1"]
    (tmp_path / "candles_1d.parquet").write_text("no Parquet")
    with pytest.raises(TableError, match=r"candles_1d\.parquet: "):
        unchecked_frames(tmp_path)
