"""Settings from environment variables: defaults, every variable, and values that cannot be used."""

from pathlib import Path

import pytest

from inference_server.settings import Settings, SettingsError


def test_the_bundle_alone_is_enough() -> None:
    settings = Settings.from_environment({"KRONOS_BUNDLE": "bundles/mini", "DATABASE_URL": ""})
    assert settings == Settings(bundle=Path("bundles/mini"))
    assert (settings.host, settings.port, settings.database_url) == ("127.0.0.1", 8200, None)
    assert settings.limits.min_candles == 32


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "KRONOS_BUNDLE": "b",
            "KRONOS_HOST": "::1",
            "KRONOS_PORT": "0",
            "DATABASE_URL": "postgresql://x",
            "KRONOS_DATABASE_TIMEOUT_S": "0.5",
            "KRONOS_DATABASE_CONNECTIONS": "2",
            "KRONOS_THREADS": "1",
            "KRONOS_MAX_PRED_LEN": "10",
            "KRONOS_MAX_SAMPLE_COUNT": "11",
            "KRONOS_MAX_LOOKBACK": "64",
            "KRONOS_MAX_BATCH_SYMBOLS": "12",
            "KRONOS_MAX_BODY_BYTES": "2048",
        }
    )
    assert settings == Settings(Path("b"), "::1", 0, "postgresql://x", 0.5, 2, 1, 10, 11, 64, 12, 2048)
    assert settings.limits.max_body_bytes == 2048


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KRONOS_PORT", "http"),
        ("KRONOS_PORT", "70000"),
        ("KRONOS_PORT", "-1"),
        ("KRONOS_MAX_PRED_LEN", "0"),
        ("KRONOS_MAX_LOOKBACK", "31"),
        ("KRONOS_THREADS", "1.5"),
        ("KRONOS_DATABASE_TIMEOUT_S", "0"),
        ("KRONOS_DATABASE_TIMEOUT_S", "inf"),
        ("KRONOS_DATABASE_TIMEOUT_S", "soon"),
    ],
)
def test_values_that_cannot_be_used_name_their_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is '{value}'; expected"):
        Settings.from_environment({"KRONOS_BUNDLE": "b", variable: value})


def test_without_a_bundle_there_is_no_server() -> None:
    with pytest.raises(SettingsError, match="KRONOS_BUNDLE is not set"):
        Settings.from_environment({})
