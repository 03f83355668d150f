"""DataFrames in and out of a real server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flows.runtime.local_server import local_server
from inference_server.client import Client, PredictionRefused, SymbolsFailed
from inference_server.frames import Forecast, to_instants, to_wire
from inference_server.schemas import Candles, PredictRequest
from tests.helpers.candle_frames import HOURS, NEW_YORK, START, columns, read

ROOT = Path(__file__).resolve().parents[2]
SETTINGS: dict[str, Any] = {"timeframe": "1h", "pred_len": 3, "sample_count": 9, "seed": 5, "top_p": 1.0}


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
