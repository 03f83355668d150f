"""DataFrames in and out: against a real server, and what a frame that can't be read is refused with."""

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.runtime.local_server import local_server
from inference_server.client import Client, PredictionRefused, SymbolsFailed
from inference_server.frame_libraries import FrameError
from inference_server.frames import Forecast, read_candles, to_instants, to_wire
from inference_server.schemas import Candles, ForecastSettings, PredictRequest

ROOT = Path(__file__).resolve().parents[2]
HOURS = 60
START = datetime(2026, 1, 5)
SETTINGS: dict[str, Any] = {"timeframe": "1h", "pred_len": 3, "sample_count": 9, "seed": 5, "top_p": 1.0}


def columns(count: int = HOURS, seed: int = 0, start: datetime = START) -> dict[str, Any]:
    draws = np.random.default_rng(seed)
    close = 100 + draws.normal(size=count).cumsum()
    return {
        "timestamp": [start + timedelta(hours=hour) for hour in range(count)],
        "open": close - 0.1,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": draws.uniform(1, 2, count),
    }


def read(frame: Any, symbol: str | None = "A", **settings: Any) -> dict[str, Candles]:
    return read_candles(frame, symbol, ForecastSettings(**settings)).candles


@pytest.fixture(scope="module")
def address(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_server(tiny_bundle, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    with Client(address) as client:
        yield client


@pytest.fixture(scope="module")
def answer(client: Client) -> Any:
    """The server's answer to the same candles sent without a frame."""
    sent = {name: np.asarray(values).tolist() for name, values in columns().items()}
    sent["timestamp"] = [f"{moment.isoformat()}Z" for moment in columns()["timestamp"]]
    return client.predict(PredictRequest(symbol="BTC-USD", candles=Candles(**sent), **SETTINGS))


def check(forecast: Forecast[Any], answer: Any) -> None:
    """Expect the numbers of the same request without a frame, to the bit."""
    names = getattr(forecast.frame, "columns", forecast.frame)
    assert list(names) == ["timestamp", "p10", "p50", "p90", "mean"]
    for name in ("p10", "p50", "p90"):
        assert np.asarray(forecast.frame[name]).tolist() == getattr(answer, name)
    assert np.asarray(forecast.frame["mean"]).tolist() == answer.mean.close
    assert forecast.answer.lookback_used == HOURS
    assert forecast.samples is None
    assert (forecast.seed, forecast.model) == (5, answer.model)
    assert forecast.warnings == answer.warnings


FUTURE = [START.replace(tzinfo=UTC) + timedelta(hours=HOURS + step) for step in range(3)]
NEW_YORK = ZoneInfo("America/New_York")


class TestPolars:
    @pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
    @pytest.mark.parametrize("unit", ["ms", "us", "ns"])
    def test_the_forecast_has_the_candles_time_type(
        self, client: Client, answer: Any, zone: str | None, unit: Any
    ) -> None:
        time = pl.col("timestamp").cast(pl.Datetime(unit))
        if zone is not None:
            time = time.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        frame = pl.DataFrame(columns()).with_columns(time)
        forecast = client.forecast(frame, symbol="BTC-USD", **SETTINGS)
        assert isinstance(forecast.frame, pl.DataFrame)
        check(forecast, answer)
        assert forecast.frame.schema["timestamp"] == pl.Datetime(unit, zone)
        aware = forecast.frame["timestamp"].to_list()
        assert [m.replace(tzinfo=UTC) if m.tzinfo is None else m for m in aware] == FUTURE

    def test_several_symbols_in_one_frame(self, client: Client) -> None:
        one, other = pl.DataFrame(columns(seed=1)), pl.DataFrame(columns(seed=2, count=HOURS - 7))
        frame = pl.concat(
            [one.with_columns(symbol=pl.lit("ETH-USD")), other.with_columns(symbol=pl.lit("BTC-USD"))]
        ).sort("timestamp", "symbol", descending=[False, True])
        forecast = client.forecast(frame, return_samples=True, **SETTINGS)
        assert forecast.frame.columns == ["symbol", "timestamp", "p10", "p50", "p90", "mean"]
        assert forecast.frame["symbol"].to_list() == ["ETH-USD"] * 3 + ["BTC-USD"] * 3
        assert forecast.samples is not None
        assert forecast.samples.columns == ["symbol", "path", "timestamp", "close"]
        for symbol, candles in (("ETH-USD", one), ("BTC-USD", other)):
            alone = client.forecast(candles, symbol=symbol, return_samples=True, **SETTINGS)
            assert alone.samples is not None
            assert forecast.frame.filter(symbol=symbol).drop("symbol").equals(alone.frame)
            assert forecast.samples.filter(symbol=symbol).drop("symbol").equals(alone.samples)
            assert forecast.answers[symbol].lookback_used == len(candles)
        with pytest.raises(ValueError, match="2 symbols has no one answer"):
            _ = forecast.answer

    def test_samples_in_long_form(self, client: Client) -> None:
        frame = pl.DataFrame(columns())
        full = client.forecast(frame, symbol="BTC-USD", return_samples="full", **SETTINGS)
        closes = client.forecast(frame, symbol="BTC-USD", return_samples=True, **SETTINGS)
        assert full.samples is not None
        assert closes.samples is not None
        assert full.samples.columns == [
            "path",
            "timestamp",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "amount",
        ]
        assert full.samples.select("path", "timestamp", "close").equals(closes.samples)
        whole = np.array(full.answer.samples)  # [paths, steps, features]
        assert full.samples.drop("path", "timestamp").to_numpy().tolist() == whole.reshape(-1, 6).tolist()
        assert full.samples["path"].to_list() == np.repeat(np.arange(9), 3).tolist()
        assert full.samples.filter(path=4)["timestamp"].equals(full.frame["timestamp"])


class TestPandas:
    @pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
    @pytest.mark.parametrize("place", ["index", "ts", "Timestamp"])
    def test_the_forecast_has_the_candles_time_type(
        self, client: Client, answer: Any, zone: str | None, place: str
    ) -> None:
        frame = pd.DataFrame(columns())
        time = frame.pop("timestamp").astype("datetime64[ns]")
        if zone is not None:
            time = time.dt.tz_localize("UTC").dt.tz_convert(zone)
        frame = (
            frame.set_index(pd.DatetimeIndex(time, name="Date"))
            if place == "index"
            else frame.assign(**{place: time})
        )
        forecast = client.forecast(frame, symbol="BTC-USD", **SETTINGS)
        assert isinstance(forecast.frame, pd.DataFrame)
        check(forecast, answer)
        assert forecast.frame["timestamp"].dtype == time.dtype
        stamps = [stamp.to_pydatetime() for stamp in forecast.frame["timestamp"]]
        assert [m.replace(tzinfo=UTC) if m.tzinfo is None else m for m in stamps] == FUTURE

    def test_several_symbols_in_one_frame(self, client: Client) -> None:
        frame = pd.concat(
            [
                pd.DataFrame(columns(seed=s)).assign(symbol=name)
                for s, name in ((1, "ETH-USD"), (2, "BTC-USD"))
            ]
        ).sort_values("timestamp", kind="stable")
        forecast = client.forecast(frame, **SETTINGS)
        assert forecast.frame["symbol"].tolist() == ["ETH-USD"] * 3 + ["BTC-USD"] * 3
        alone = client.forecast(pd.DataFrame(columns(seed=2)), symbol="BTC-USD", **SETTINGS)
        assert forecast.frame[3:].drop(columns="symbol").reset_index(drop=True).equals(alone.frame)


def test_a_mapping_gives_a_mapping(client: Client, answer: Any) -> None:
    forecast = client.forecast(columns(), symbol="BTC-USD", **SETTINGS)
    check(forecast, answer)
    assert forecast.frame["timestamp"].tolist() == [moment.replace(tzinfo=None) for moment in FUTURE]


def test_neither_library_is_imported_for_arrays(address: str) -> None:
    code = f"""
import sys
import numpy as np
from inference_server.client import Client
times = np.datetime64("2026-01-05", "h") + np.arange(40)
close = 100 + np.sin(np.arange(40.0))
with Client({address!r}) as client:
    candles = {{"ts": times, "open": close, "high": close + 1, "low": close - 1, "close": close.tolist()}}
    forecast = client.forecast(candles, symbol="BTC-USD", timeframe="1h", pred_len=2)
assert len(forecast.frame["p50"]) == 2 and forecast.answer.sample_count == 20
assert not {{"pandas", "polars", "litestar", "onnxruntime"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_the_page_about_the_client_runs(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)
    assert "http://127.0.0.1:8200" in block
    scope: dict[str, Any] = {}
    exec(block.replace("http://127.0.0.1:8200", address), scope)
    assert scope["forecast"].frame.shape == (24, 5)
    assert str(scope["forecast"].seed) in capsys.readouterr().out


class TestWhatIsSent:
    def test_events_and_times_of_a_symbol_that_nobody_registered(self, client: Client) -> None:
        frame, symbol = pl.DataFrame(columns()), "no such symbol"
        events = np.zeros((HOURS, 20), np.float32)
        with pytest.raises(PredictionRefused, match="send future_timestamps"):
            client.forecast(frame, symbol=symbol, **SETTINGS)
        for future in (
            FUTURE,
            pl.Series(FUTURE),
            pd.DatetimeIndex(FUTURE),
            np.array(to_instants(FUTURE, "")),
        ):
            forecast = client.forecast(
                frame, symbol=symbol, events=events, future_timestamps=future, **SETTINGS
            )
            assert forecast.answer.events_used
            assert forecast.answer.timestamps == FUTURE
        both = pl.concat([frame.with_columns(symbol=pl.lit(name)) for name in (symbol, "BTC-USD")])
        forecast = client.forecast(
            both, events={symbol: events}, future_timestamps={symbol: FUTURE}, **SETTINGS
        )
        assert [forecast.answers[name].events_used for name in (symbol, "BTC-USD")] == [True, False]

    def test_settings_of_numpy_and_datetime(self, client: Client) -> None:
        frame, as_of = pl.DataFrame(columns()), START + timedelta(hours=40)
        settings = SETTINGS | {"pred_len": np.int64(2), "lookback": np.int32(35), "top_p": np.float64(1)}
        for moment in (as_of, as_of.replace(tzinfo=UTC).astimezone(NEW_YORK), np.datetime64(as_of)):
            answer = client.forecast(frame, symbol="BTC-USD", as_of=moment, **settings).answer
            assert (answer.lookback_used, len(answer.p50)) == (35, 2)
            assert answer.as_of == as_of.replace(tzinfo=UTC) - timedelta(hours=1)

    def test_old_rows_stay_here_and_change_nothing(self, client: Client) -> None:
        frame = pl.DataFrame(columns(count=400))
        (sent,) = read(frame, lookback=40).values()
        assert len(sent.close) == 140
        assert sent.close == frame["close"].to_list()[-140:]
        (sent,) = read(frame, lookback=40, as_of="2026-01-15").values()
        assert sent.timestamp[0] == "2026-01-09T05:00:00Z"  # 140 up to the one that opens at as_of
        assert len(sent.close) == 140 + (400 - 241)
        whole = {name: np.asarray(values).tolist() for name, values in columns(count=400).items()}
        whole["timestamp"] = to_wire(to_instants(whole["timestamp"], ""))
        request = PredictRequest(symbol="BTC-USD", candles=Candles(**whole), lookback=40, **SETTINGS)
        forecast = client.forecast(frame, symbol="BTC-USD", lookback=40, **SETTINGS)
        assert forecast.answer == client.predict(request)

    def test_an_unknown_volume_is_null_and_other_columns_are_named(self, client: Client) -> None:
        frame = pl.DataFrame(columns()).with_columns(
            volume=pl.when(pl.col("volume") > 1.9).then(None).otherwise("volume"), Vol=1.0
        )
        (candles,) = read(frame).values()
        assert candles.volume is not None
        assert None in candles.volume
        warnings = client.forecast(frame, symbol="BTC-USD", **SETTINGS).warnings
        assert warnings[0].startswith("fields-ignored: columns of the frame that no forecast reads")
        assert warnings[0].endswith(": Vol")
        assert any(text.startswith("volume-unknown:") for text in warnings)


class TestRefusedByTheServer:
    def test_one_symbol_with_the_problems_sentence(self, client: Client) -> None:
        frame = pl.DataFrame(columns(count=3))
        with pytest.raises(PredictionRefused, match=r"BTC-USD has 3 candles of 1h closed by .*at least"):
            client.forecast(frame, symbol="BTC-USD", **SETTINGS)
        with pytest.raises(PredictionRefused, match="pred_len"):
            client.forecast(pl.DataFrame(columns()), symbol="BTC-USD", **SETTINGS | {"pred_len": 0})

    def test_some_symbols_of_a_frame(self, client: Client) -> None:
        frames = {"BTC-USD": columns(), "ETH-USD": columns(count=3)}
        both = pl.concat([pl.DataFrame(f).with_columns(symbol=pl.lit(s)) for s, f in frames.items()])
        with pytest.raises(SymbolsFailed, match=r"^ETH-USD: .*\(422\): ETH-USD has 3 candles") as failed:
            client.forecast(both, **SETTINGS)
        assert list(failed.value.problems) == ["ETH-USD"]
        assert failed.value.forecast is not None
        assert failed.value.forecast.frame["symbol"].to_list() == ["BTC-USD"] * 3
        with pytest.raises(SymbolsFailed) as failed:
            client.forecast(both.filter(symbol="ETH-USD"), **SETTINGS)
        assert failed.value.forecast is None

    def test_a_setting_that_is_none(self, client: Client) -> None:
        with pytest.raises(TypeError, match=r"no setting temprature; expected some of .*temperature"):
            client.forecast(columns(), symbol="A", temprature=1, **SETTINGS)

    @pytest.mark.parametrize("symbol", ["A", None])
    def test_events_by_symbol_and_events_of_one(self, client: Client, symbol: str | None) -> None:
        frame = columns() | ({} if symbol else {"symbol": ["A"] * HOURS})
        events: Any = {"A": np.zeros((HOURS, 20))} if symbol else np.zeros((HOURS, 20))
        with pytest.raises(TypeError, match="column symbol"):
            client.forecast(frame, symbol=symbol, events=events, **SETTINGS)


def polars(**changed: Any) -> pl.DataFrame:
    return pl.DataFrame({name: value for name, value in (columns(5) | changed).items() if value is not None})


REFUSED: dict[str, tuple[Callable[[], Any], str | None, str]] = {
    "no time": (
        lambda: polars(timestamp=None, when=range(5)),
        "A",
        r"columns missing: timestamp; found: open, high, low, close, volume, when; expected timestamp \(or",
    ),
    "no close": (lambda: polars(close=None), "A", r"columns missing: close; found: timestamp, open"),
    "a range index": (lambda: pd.DataFrame(columns(5)).drop(columns="timestamp"), "A", r"missing: timestamp"),
    "two times": (lambda: polars(ts=range(5)), "A", r"timestamp and ts both hold time stamps"),
    "two cases": (lambda: polars(Close=range(5)), "A", r"the columns close and Close have one name"),
    "twice in pandas": (
        lambda: pd.concat([pd.DataFrame(columns(5))] * 2, axis=1),
        "A",
        r"the columns timestamp and timestamp have one name",
    ),
    "no symbol": (polars, None, r"give symbol=…, or a column symbol"),
    "symbol twice": (lambda: polars(symbol=["A"] * 5), "A", r"symbol='A' is given as well"),
    "null symbol": (lambda: polars(symbol=["A", None, "A", "A", "A"]), None, r"symbol is None in row 1"),
    "number as symbol": (lambda: polars(symbol=[600519] * 5), None, r"symbol is 600519 in row 0"),
    "newest first": (
        lambda: polars().reverse(), "A",
        r"of A don't increase: 2026-01-05T03:00:00.000000 in row 1 .*sort the frame by time, oldest first",
    ),
    "a repeated row": (
        lambda: pl.concat([polars(symbol=["A"] * 5), polars(symbol=["B"] * 5)[[0, 1, 1]]]),
        None,
        r"of B don't increase: 2026-01-05T01:00:00.000000 in row 7",
    ),
    "a null price": (lambda: polars(low=[1, 2, None, 4, 5]), "A", r"low is nan in row 2 \(2026-01-05T02:00"),
    "infinite volume": (lambda: polars(volume=[1.0, 2.0, 3.0, 4.0, np.inf]), "A", r"volume is inf in row 4"),
    "prices as text": (lambda: polars(open=["1.5"] * 5), "A", r"open is '1.5' in row 0, no number"),
    "prices as truths": (lambda: polars(open=[True] * 5), "A", r"open is True in row 0, no number"),
    "times as prices": (lambda: polars(open=columns(5)["timestamp"]), "A", r"open holds time stamps"),
    "a null time": (
        lambda: polars(timestamp=[*columns(4)["timestamp"], None]), "A", r"timestamp is .*NaT.* in row 4",
    ),
    "unreadable times": (lambda: polars(timestamp=["soon"] * 5), "A", r"timestamp is 'soon' in row 0"),
    "numbers that are no times": (lambda: polars(timestamp=range(5)), "A", r"timestamp is .*0.* in row 0"),
    "no rows": (lambda: polars()[:0], "A", r"the frame has no rows"),
    "lazy": (lambda: polars().lazy(), "A", r"LazyFrame given; .*collect\(\) it first"),
    "a list": (lambda: [1, 2], "A", r"a builtins.list given; expected a DataFrame of Polars or pandas"),
    "two dimensions": (lambda: columns(5) | {"open": np.zeros((5, 2))}, "A", r"open has shape \(5, 2\)"),
    "other lengths": (lambda: columns(5) | {"open": [1.0] * 4}, "A", r"timestamp has 5 values and {'open'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_frame_that_is_refused(case: str) -> None:
    frame, symbol, message = REFUSED[case]
    with pytest.raises(FrameError, match=message):
        read(frame(), symbol)


FIRST = "2026-01-05T00:00:00Z"
SAME_TIMES: dict[str, Callable[[list[datetime]], Any]] = {
    "text": lambda times: [moment.isoformat(" ") for moment in times],
    "with a zone": lambda times: [m.replace(tzinfo=UTC).astimezone(NEW_YORK) for m in times],
    "seconds": lambda times: [int(moment.replace(tzinfo=UTC).timestamp()) for moment in times],
    "milliseconds": lambda times: [int(moment.replace(tzinfo=UTC).timestamp() * 1000) for moment in times],
    "seconds as floats": lambda times: [moment.replace(tzinfo=UTC).timestamp() for moment in times],
    "nanoseconds": lambda times: np.array(times, "datetime64[ns]").astype(np.int64),
}


@pytest.mark.parametrize("kind", SAME_TIMES)
@pytest.mark.parametrize("build", [pl.DataFrame, pd.DataFrame, dict])
def test_every_way_to_write_a_time(kind: str, build: Callable[[Any], Any]) -> None:
    (candles,) = read(build(columns(5) | {"timestamp": SAME_TIMES[kind](columns(5)["timestamp"])})).values()
    assert candles.timestamp == [f"2026-01-05T0{hour}:00:00Z" for hour in range(5)]


@pytest.mark.parametrize("build", [pl.DataFrame, pd.DataFrame, dict])
def test_dates_of_before_unix_times_began_and_fractions_of_a_second(build: Callable[[Any], Any]) -> None:
    days = [date(1969, 12, 30) + timedelta(days=day) for day in range(5)]
    (candles,) = read(build(columns(5) | {"timestamp": days}), timeframe="1d").values()
    assert candles.timestamp[::2] == ["1969-12-30T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-03T00:00:00Z"]
    odd = columns(5, start=START + timedelta(microseconds=7))
    (candles,) = read(build(odd)).values()
    assert candles.timestamp[0] == "2026-01-05T00:00:00.000007Z"


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(columns(5)).cast({"volume": pl.Int32, "close": pl.Decimal(10, 4)}),
        pd.DataFrame(columns(5)).astype({"volume": "int32", "close": "Float32"}),
        pd.DataFrame(columns(5)).convert_dtypes(),
        columns(5) | {"close": [Decimal("1.5"), 2, np.float32(3), 4.0, 5]},
    ],
    ids=["polars", "pandas", "nullable", "mapping"],
)  # fmt: skip
def test_numbers_of_every_type(frame: Any) -> None:
    (candles,) = read(frame).values()
    assert all(type(value) is float for value in [*candles.close, *(candles.volume or [])])
    assert candles.close == pytest.approx(np.asarray(frame["close"]).astype(float).tolist())


def test_a_missing_value_of_pandas_nullable_types() -> None:
    frame = pd.DataFrame(columns(5)).convert_dtypes()
    frame.loc[2, "volume"] = pd.NA
    (candles,) = read(frame).values()
    assert candles.volume is not None
    assert candles.volume[2] is None
    frame.loc[1, "close"] = pd.NA
    with pytest.raises(FrameError, match="close is nan in row 1"):
        read(frame)


@given(
    counts=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    build=st.sampled_from([pl.DataFrame, pd.DataFrame, dict]),
)
def test_interleaved_symbols_come_apart_as_they_were(
    counts: list[int], order: random.Random, build: Callable[[Any], Any]
) -> None:
    rows = [(f"S{place}", row) for place, count in enumerate(counts) for row in range(count)]
    # Any order across symbols that keeps each symbol's own.
    mixed = [symbol for symbol, _ in order.sample(rows, len(rows))]
    place_of: Counter[str] = Counter()
    picked: list[int] = []
    for symbol in mixed:
        picked.append(place_of[symbol])
        place_of[symbol] += 1
    whole = columns(8)
    frame = {name: [values[row] for row in picked] for name, values in whole.items()} | {"symbol": mixed}
    frame["close"] = [1000.0 * int(symbol[1:]) + row for symbol, row in zip(mixed, picked, strict=True)]
    candles = read(build(frame), None)
    assert list(candles) == list(dict.fromkeys(mixed))
    for symbol, one in candles.items():
        count = counts[int(symbol[1:])]
        assert one.close == [1000.0 * int(symbol[1:]) + row for row in range(count)]
        assert one.timestamp == [f"2026-01-05T0{row}:00:00Z" for row in range(count)]
        assert one.volume == list(whole["volume"][:count])
