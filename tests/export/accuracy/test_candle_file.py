from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from export.accuracy.candle_file import read_candles
from export.accuracy.errors import CandleFileError

ROWS = pl.DataFrame(
    {
        "symbol": ["EURUSD", "EURUSD", "X", "X"],
        "timestamp": ["2024-01-02T01:00:00Z", "2024-01-02T00:00:00Z", "2024-01-02", "2024-01-03"],
        "open": [1.0, 2.0, 3.0, 4.0],
        "high": [1.5, 2.5, 3.5, 4.5],
        "low": [0.5, 1.5, 2.5, 3.5],
        "close": [1.0, 2.0, 3.0, 4.0],
        "volume": [10.0, 20.0, None, 5.0],
    }
)


TIMES = ROWS.with_columns(
    timestamp=pl.Series([datetime(2024, 1, 2, hour, tzinfo=UTC) for hour in (1, 0, 2, 3)])
)


def written(folder: Path, frame: pl.DataFrame, name: str = "candles.csv") -> Path:
    file = folder / name
    if name.endswith(".csv"):
        frame.write_csv(file)
    else:
        frame.write_parquet(file)
    return file


@pytest.mark.parametrize(
    "frame",
    [
        ROWS,
        ROWS.rename({"timestamp": "TS", "close": "Close"}).with_columns(unknown=pl.lit("x")),
        TIMES,
        TIMES.with_columns(pl.col("timestamp").dt.epoch("s")),
    ],
    ids=["text", "other names", "times", "Unix times"],
)
@pytest.mark.parametrize("name", ["candles.csv", "candles.parquet"])
def test_symbols_are_read_oldest_first(frame: pl.DataFrame, name: str, tmp_path: Path) -> None:
    euro, other = read_candles(written(tmp_path, frame, name))
    assert (euro.symbol, euro.asset_class, other.asset_class) == ("EURUSD", "fx", "unknown")
    np.testing.assert_array_equal(
        euro.timestamps, np.array(["2024-01-02T00", "2024-01-02T01"], "datetime64[us]")
    )
    np.testing.assert_array_equal(euro.candles[:, 3], [2.0, 1.0])
    np.testing.assert_array_equal(euro.candles[:, 5], [40.0, 10.0])
    np.testing.assert_array_equal(other.candles[:, 4:], 0)  # a volume with a gap counts as absent


@pytest.mark.parametrize(
    ("frame", "name", "message"),
    [
        (ROWS, "candles.txt", "neither .csv nor .parquet"),
        (ROWS.drop("close", "timestamp"), "a.csv", "lacks the columns close, timestamp; expected are symbol"),
        (ROWS.with_columns(timestamp=pl.lit("soon")), "a.csv", "timestamp is 'soon' in row 1"),
        (ROWS.with_columns(timestamp=pl.lit("2024-01-02")), "a.csv", "two candles of EURUSD at one time"),
        (ROWS.with_columns(open=pl.lit("n/a")), "a.csv", "candles of EURUSD at 2024-01-02T00"),
    ],
)
def test_other_files_are_refused_with_what_is_wrong(
    frame: pl.DataFrame, name: str, message: str, tmp_path: Path
) -> None:
    file = written(tmp_path, frame, name if name.endswith(".csv") else "b.csv")
    with pytest.raises(CandleFileError, match=message):
        read_candles(file.rename(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CandleFileError, match=r"none.parquet cannot be read"):
        read_candles(tmp_path / "none.parquet")
