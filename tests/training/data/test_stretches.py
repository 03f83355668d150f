import numpy as np
import polars as pl
import pytest

from flows.load import load_candles
from tests.helpers.stretches import stretch, write_folder
from training.data.stretches import TrainingError, read_database, read_folder, split_at_gaps

LICENCES = ("MIT", "Apache-2.0")


def without(source, first, count):
    kept = np.ones(len(source), bool)
    kept[first : first + count] = False
    return type(source)(source.instrument, source.timeframe, source.timestamps[kept], source.candles[kept])


@pytest.mark.parametrize(
    ("symbol", "timeframe", "missing", "parts"),
    [
        ("EURUSD", "1h", 0, [200]),  # weekends are no gap
        ("EURUSD", "1h", 24, [176]),  # nor is a holiday that the calendar lacks
        ("EURUSD", "1h", 25, [100, 75]),
        ("BTC-USD", "1h", 25, [100, 75]),
        ("BTC-USD", "1d", 3, [197]),
        ("BTC-USD", "1d", 4, [100, 96]),
    ],
)
def test_a_stretch_ends_where_candles_of_the_calendar_are_missing(symbol, timeframe, missing, parts):
    source = without(stretch(200, symbol, timeframe), 100, missing)
    stretches = split_at_gaps(source)
    assert [len(part) for part in stretches] == parts
    np.testing.assert_array_equal(np.concatenate([part.timestamps for part in stretches]), source.timestamps)


def test_a_part_holds_only_candles_that_closed_by_its_end():
    part = stretch(100, "BTC-USD", start="2020-12-31").between(
        np.datetime64("2020-12-31T12:00"), np.datetime64("2021-01-01T00:00")
    )
    assert part.timestamps[[0, -1]].astype(str).tolist() == [
        "2020-12-31T12:00:00.000000",
        "2020-12-31T23:00:00.000000",
    ]
    assert len(part.candles) == len(part) == 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("market")
    write_folder(out)
    return out


def test_only_segments_with_a_permitted_licence_are_used(folder):
    stretches = read_folder(folder, LICENCES).stretches()
    assert {part.instrument.symbol for part in stretches} == {"GBPUSD", "BTC-USD"}
    assert {part.licence for part in stretches} == {"Apache-2.0", "MIT per README"}
    assert {part.origin for part in stretches} == {"a/b", "c/d"}


def test_leaders_too_come_from_permitted_segments_alone(folder):
    assert set(read_folder(folder, LICENCES).permitted()["1h"]["symbol"]) == {"GBPUSD", "BTC-USD"}


def test_a_symbol_whose_licence_forbids_training_is_refused_by_name(folder):
    with pytest.raises(TrainingError, match=r"no usable candles of EURUSD.*licences"):
        read_folder(folder, LICENCES).stretches(["EURUSD", "GBPUSD"])


def test_without_segments_every_candle_is_used(folder, tmp_path):
    (tmp_path / "candles_1h.parquet").symlink_to(folder / "candles_1h.parquet")
    assert len(read_folder(tmp_path, LICENCES).stretches(["EURUSD"])[0]) == 1000


def test_a_stretch_crosses_no_segment_boundary(folder, tmp_path):
    frame = pl.read_parquet(folder / "candles_1h.parquet").filter(pl.col("symbol") == "BTC-USD")
    frame.write_parquet(tmp_path / "candles_1h.parquet")
    edge = frame["timestamp"][400]
    pl.DataFrame(
        {
            "symbol": ["BTC-USD"] * 2,
            "timeframe": ["1h"] * 2,
            "start": [str(frame["timestamp"][0]), str(edge)],
            "end": [str(frame["timestamp"][399]), str(frame["timestamp"][-1])],
            "licence": ["MIT"] * 2,
        }
    ).write_csv(tmp_path / "segments.csv")
    stretches = read_folder(tmp_path, LICENCES).stretches()
    assert [len(part) for part in stretches] == [400, 600]


def test_the_database_and_the_files_give_the_same_stretches(folder, database):
    frame = pl.read_parquet(folder / "candles_1h.parquet").filter(pl.col("symbol") == "GBPUSD")
    load_candles(database, frame, "1h")
    (from_database,) = read_database(database, ["GBPUSD"]).stretches()
    (from_folder,) = read_folder(folder, LICENCES).stretches(["GBPUSD"])
    np.testing.assert_array_equal(from_database.timestamps, from_folder.timestamps)
    np.testing.assert_array_equal(from_database.candles, from_folder.candles)


def test_a_folder_without_candles_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="has neither candles_1h nor candles_1d"):
        read_folder(tmp_path, LICENCES)


def test_the_real_feeds_have_no_stretch_of_the_held_out_pair(market_data):
    material = read_folder(market_data, ("MIT", "Apache-2.0", "ODC-PDDL"))
    hourly = [part for part in material.stretches() if part.timeframe == "1h"]
    assert "EURUSD" not in {part.instrument.symbol for part in hourly}
    gbpusd = [part for part in hourly if part.instrument.symbol == "GBPUSD"]
    assert [str(part.timestamps[-1])[:10] for part in gbpusd] == ["2022-03-04"]
