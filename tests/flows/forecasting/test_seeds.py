"""The default seed: stable across machines, different for every forecast."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.forecasting.seeds import SEED_BITS, forecast_seed

AS_OF = datetime(2024, 12, 18, 11, tzinfo=UTC)


def test_is_the_same_on_every_machine() -> None:
    assert forecast_seed("EURUSD", "1h", AS_OF, "v1") == 2855096913137402


def test_depends_on_the_instant_and_not_on_its_zone() -> None:
    new_york = AS_OF.astimezone(timezone(timedelta(hours=-5)))
    assert forecast_seed("EURUSD", "1h", new_york, "v1") == forecast_seed("EURUSD", "1h", AS_OF, "v1")


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "version"),
    [
        ("GBPUSD", "1h", AS_OF, "v1"),
        ("EURUSD", "1d", AS_OF, "v1"),
        ("EURUSD", "1h", AS_OF + timedelta(hours=1), "v1"),
        ("EURUSD", "1h", AS_OF, "v2"),
        ("EURUSD1", "h", AS_OF, "v1"),
    ],
)
def test_every_part_of_the_identity_matters(
    symbol: str, timeframe: str, as_of: datetime, version: str
) -> None:
    assert forecast_seed(symbol, timeframe, as_of, version) != forecast_seed("EURUSD", "1h", AS_OF, "v1")


@given(st.text(), st.text(), st.datetimes(timezones=st.just(UTC)))
def test_fits_an_exact_json_number(symbol: str, version: str, as_of: datetime) -> None:
    assert 0 <= forecast_seed(symbol, "1d", as_of, version) < 2**SEED_BITS


def test_refuses_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        forecast_seed("EURUSD", "1h", AS_OF.replace(tzinfo=None), "v1")
