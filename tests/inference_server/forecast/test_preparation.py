"""Seeds and model clocks of prepared requests."""

import pytest

from inference_server.errors import InvalidRequest
from inference_server.forecast.preparation import model_clock, new_seed
from inference_server.schemas import ForecastSettings
from market.instruments import Instrument

BITCOIN = Instrument("BTC-USD", "crypto", "24/7")


def test_new_seeds_differ_and_survive_json() -> None:
    seeds = {new_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**53 for seed in seeds)


@pytest.mark.parametrize(
    ("zone", "instrument", "clock"),
    [
        (None, None, "UTC"),
        (None, BITCOIN, "UTC"),
        (None, Instrument("X", "equity", "XSHG", model_time_zone="Asia/Shanghai"), "Asia/Shanghai"),
        ("UTC", Instrument("X", "equity", "XSHG", model_time_zone="Asia/Shanghai"), "UTC"),
        ("Asia/Tokyo", None, "Asia/Tokyo"),
    ],
)
def test_the_clock_is_the_request_s_else_the_instrument_s(
    zone: str | None, instrument: Instrument | None, clock: str
) -> None:
    assert model_clock(ForecastSettings(time_zone=zone), instrument) == clock


def test_an_unknown_time_zone_of_an_instrument_is_named() -> None:
    typo = Instrument("X", "equity", "XSHG", model_time_zone="Shanghai")
    with pytest.raises(InvalidRequest, match="the instrument's model_time_zone is 'Shanghai'"):
        model_clock(ForecastSettings(), typo)
