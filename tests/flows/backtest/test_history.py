"""Histories from a folder: the instruments of its file, aliases, and what is missing."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.backtest.history import HistoryError, Period, history_from_files

START = datetime(2024, 1, 2, 15, tzinfo=UTC)
PERIOD = Period("1h", None, START, START, 4, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "candles_1h.csv").write_text(
        "symbol,timestamp,open,high,low,close\n"
        "CALENDAR-SPREAD,2024-01-02T15:00:00Z,-1,2,-3,0\n"
        "SPY,2024-01-02T15:30:00Z,1,2,0.5,1.5\n"
    )
    (tmp_path / "instruments.csv").write_text(
        "symbol,asset_class,calendar,allow_nonpositive,aliases\nCALENDAR-SPREAD,commodity,FX:XNYS,true,CS\n"
    )
    return tmp_path


def test_instruments_of_the_folder_have_their_trading_hours_and_may_be_negative(folder: Path) -> None:
    history = history_from_files(folder, PERIOD)
    assert list(history.instruments) == ["CALENDAR-SPREAD", "SPY"]
    assert history.instruments["CALENDAR-SPREAD"].allow_nonpositive
    assert history.candles["close"].to_list() == [0.0, 1.5]


def test_an_alias_stands_for_its_symbol_once(folder: Path) -> None:
    history = history_from_files(folder, replace(PERIOD, symbols=["CS", "CALENDAR-SPREAD"]))
    assert list(history.instruments) == ["CALENDAR-SPREAD"]


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        (["SPY", "QQQ"], "has no 1h candles of QQQ from .*, and has those of CALENDAR-SPREAD, SPY$"),
        (["SPY", "QQQ", "IWM"], "has no 1h candles of QQQ, IWM from 20"),
        (["SPY", "spy"], r"1h candles of spy from .*; did you mean SPY\?"),
    ],
)
def test_symbols_without_rows_are_named(folder: Path, symbols: list[str], words: str) -> None:
    with pytest.raises(HistoryError, match=words):
        history_from_files(folder, replace(PERIOD, symbols=symbols))


def test_a_symbol_without_trading_hours_is_named_with_what_to_do(folder: Path) -> None:
    (folder / "instruments.csv").unlink()
    (folder / "candles_1h.csv").write_text(
        "symbol,timestamp,open,high,low,close\nUNKNOWN,2024-01-02T15:00:00Z,1,2,0.5,1.5\n"
    )
    with pytest.raises(HistoryError, match=r"hours of UNKNOWN are unknown: add a row .* instruments\.csv"):
        history_from_files(folder, PERIOD)
