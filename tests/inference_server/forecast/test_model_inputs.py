"""Scale, clock and floor on the whole way: from bodies of /predict to answers, over a real bundle."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob
from market.candles import candle_features
from market.envelope import envelope
from market.warning_codes import code_of
from tests.helpers.jobs import hourly_job
from tests.helpers.serving import candles, ready_client

ASKED: dict[str, Any] = {
    "symbol": "SHIBUSDT", "timeframe": "1h", "pred_len": 8, "seed": 3, "sample_count": 12, "top_p": 1.0,
}  # fmt: skip
PRICES = ("open", "high", "low", "close")


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine.load(tiny_bundle, threads=1)


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRONOS_DATA_DIR", str(tmp_path_factory.mktemp("none") / "no-database"))
        with ready_client(tiny_bundle) as client:
            yield client


def quoted(factor: float, count: int = 60) -> dict[str, list[Any]]:
    """The same hourly candles in another unit, from about 1.0 on."""
    columns = candles(count)
    return columns | {name: [value / 100 * factor for value in columns[name]] for name in PRICES}


def ask(server: TestClient[Any], **fields: Any) -> dict[str, Any]:
    response = server.post("/predict", json={**ASKED, **fields})
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


def codes(made: dict[str, Any]) -> list[str]:
    return [code_of(text) for text in made["warnings"]]


def of_prices(job: ForecastJob, factor: float) -> ForecastJob:
    opens, highs, lows, closes = (job.candles[:, :4] * factor).T
    volume = np.abs(job.candles[:, 4])
    return replace(job, candles=candle_features(opens, highs, lows, closes, volume))


@pytest.mark.parametrize("power", [-20, -27, -40])
def test_paths_of_small_prices_are_the_same_bits_between_powers_of_two(engine: Engine, power: int) -> None:
    job = hourly_job(sample_count=3, seed=5)
    small, smaller = engine.forecast([of_prices(job, 2.0**-17), of_prices(job, 2.0 ** (power - 17))])
    factor = np.array([2.0**power] * 4 + [1.0, 2.0**power], np.float32)
    np.testing.assert_array_equal(small * factor, smaller)


def test_paths_of_small_prices_stay_as_near_their_own_as_those_of_ordinary_ones(engine: Engine) -> None:
    job = hourly_job(sample_count=20, seed=5)
    small, upstreams, ordinary = (
        paths[..., 3] / factor
        for paths, factor in zip(
            engine.forecast(
                [
                    of_prices(job, 3e-8),
                    replace(of_prices(job, 3e-8), upstream_scale=True),
                    of_prices(job, 1.0),
                ]
            ),
            (3e-8, 3e-8, 1.0),
            strict=True,
        )
    )
    np.testing.assert_allclose(small.mean(), ordinary.mean(), rtol=1e-2)
    assert (small > 0).all()
    assert envelope(upstreams).p10.min() < 0  # what the scale is for


def test_a_coin_quoted_in_small_units_is_forecast_the_same_in_smaller_ones(server: TestClient[Any]) -> None:
    small = ask(server, candles=quoted(2.0**-20))
    smaller = ask(server, candles=quoted(2.0**-30))
    assert "prices-scaled" in codes(small)
    assert "2^" in small["warnings"][0]
    for name in ("p10", "p50", "p90"):
        assert small[name] == [value * 2.0**10 for value in smaller[name]]
        assert min(small[name]) > 0
    assert small["mean"]["low"] == [value * 2.0**10 for value in smaller["mean"]["low"]]


def test_upstream_s_scale_is_an_option_and_changes_nothing_for_ordinary_prices(
    server: TestClient[Any],
) -> None:
    ordinary = quoted(100.0)
    assert ask(server, candles=ordinary, upstream_scale=True) == ask(server, candles=ordinary)
    drowned = ask(server, candles=quoted(1e-8), upstream_scale=True)
    assert "prices-scaled" not in codes(drowned)
    assert drowned["mean"]["close"] != ask(server, candles=quoted(1e-8))["mean"]["close"]


def test_quantiles_of_a_positive_price_are_never_below_zero_and_the_paths_are_the_model_s(
    server: TestClient[Any],
) -> None:
    falling = quoted(1.0)
    for name in PRICES:
        falling[name] = [value * 0.8**i + 1e-3 for i, value in enumerate(falling[name])]
    made = ask(server, candles=falling, return_samples=True, sample_count=20)
    raw = envelope(made["samples"])
    assert raw.p10.min() < 0
    assert codes(made) == ["envelope-floor"]
    for name, level in zip(("p10", "p50", "p90"), raw, strict=True):
        assert made[name] == np.maximum(level, 0).tolist()
    negative = ask(server, candles=falling | {"low": [*falling["low"][:-1], -0.1]}, return_samples=True)
    assert min(negative["p10"]) < 0
    assert "envelope-floor" not in codes(negative)


def test_the_clock_is_the_instrument_s_unless_the_request_says_another(server: TestClient[Any]) -> None:
    given = {
        "candles": quoted(100.0),
        "future_timestamps": candles(8, np.datetime64("2024-03-07"))["timestamp"],
    }
    made = {
        (symbol, zone): ask(server, symbol=symbol, time_zone=zone, **given)["mean"]
        for symbol in ("ACME", "600519.SH")
        for zone in (None, "UTC", "Asia/Shanghai")
    }
    assert made["ACME", None] == made["ACME", "UTC"] == made["600519.SH", "UTC"]
    assert made["600519.SH", None] == made["600519.SH", "Asia/Shanghai"] == made["ACME", "Asia/Shanghai"]
    assert made["ACME", "UTC"] != made["ACME", "Asia/Shanghai"]


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "utc+8"])
def test_a_clock_that_nobody_knows_is_refused(server: TestClient[Any], zone: str) -> None:
    response = server.post("/predict", json={**ASKED, "candles": candles(), "time_zone": zone})
    assert response.status_code == 422
    assert "time_zone is" in response.json()["detail"]
    assert "Asia/Shanghai" in response.json()["expected"]
