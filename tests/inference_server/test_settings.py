"""Settings from environment variables: defaults, every variable, and values that cannot be used."""

from pathlib import Path

import pytest

from inference_server.engine.devices import DeviceChoice
from inference_server.settings import Settings, SettingsError


def test_the_bundle_alone_is_enough() -> None:
    settings = Settings.from_environment({"KRONOS_BUNDLE": "bundles/mini", "DATABASE_URL": ""})
    assert settings == Settings(bundle=Path("bundles/mini"))
    assert (settings.host, settings.port, settings.database_url) == ("127.0.0.1", 8200, None)
    assert settings.limits.min_candles == 32
    assert settings.cache_bytes is None
    assert settings.device == DeviceChoice("auto", 0, cuda_graphs=True)
    assert (settings.api_keys, settings.admin_keys) == ((), ())


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "KRONOS_BUNDLE": "b",
            "KRONOS_HOST": "::1",
            "KRONOS_PORT": "0",
            "DATABASE_URL": "postgresql://x",
            "KRONOS_DATABASE_TIMEOUT_S": "0.5",
            "KRONOS_DATABASE_CONNECTIONS": "2",
            "KRONOS_DEVICE": "cuda:2",
            "KRONOS_CUDA_GRAPHS": "off",
            "KRONOS_THREADS": "1",
            "KRONOS_MAX_PRED_LEN": "10",
            "KRONOS_MAX_SAMPLE_COUNT": "11",
            "KRONOS_MAX_LOOKBACK": "64",
            "KRONOS_MAX_BATCH_SYMBOLS": "12",
            "KRONOS_MAX_BODY_BYTES": "2048",
            "KRONOS_API_KEYS": "first-key-of-many, second-key-of-many,",
            "KRONOS_ADMIN_KEYS": "key-of-the-operator",
            "KRONOS_ALLOWED_HOSTS": "a.example, b.example",
            "KRONOS_MAX_ANSWER_VALUES": "4096",
            "KRONOS_CACHE_BYTES": "13",
            "KRONOS_QUEUE_LIMIT": "14",
            "KRONOS_REQUEST_TIMEOUT_S": "15",
            "KRONOS_BODY_TIMEOUT_S": "0.25",
            "KRONOS_GRACE_S": "16",
            "KRONOS_RESULT_CACHE_BYTES": "17",
        }
    )
    assert settings == Settings(
        Path("b"), "::1", 0, "postgresql://x", 0.5, 2, DeviceChoice("cuda", 2, False),
        1, 10, 11, 64, 12, 2048, 4096,
        ("first-key-of-many", "second-key-of-many"), ("key-of-the-operator",),
        ("a.example", "b.example"), 13, 14, 15.0, 0.25, 16.0, 17,
    )  # fmt: skip
    assert settings.limits.max_body_bytes == 2048
    assert settings.limits.max_answer_values == 4096


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
        ("KRONOS_QUEUE_LIMIT", "0"),
        ("KRONOS_RESULT_CACHE_BYTES", "-1"),
        ("KRONOS_GRACE_S", "-1"),
        ("KRONOS_DEVICE", "gpu"),
        ("KRONOS_DEVICE", "cpu:1"),
        ("KRONOS_DEVICE", "cuda:"),
        ("KRONOS_DEVICE", "cuda:first"),
        ("KRONOS_CUDA_GRAPHS", "yes"),
    ],
)
def test_values_that_cannot_be_used_name_their_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is '{value}'; expected"):
        Settings.from_environment({"KRONOS_BUNDLE": "b", variable: value})


def test_without_a_bundle_there_is_no_server() -> None:
    with pytest.raises(SettingsError, match="KRONOS_BUNDLE is not set"):
        Settings.from_environment({})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_on_loopback_there_need_be_no_keys(host: str) -> None:
    assert Settings(Path("b"), host).api_keys == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "models.internal", "localhost.example"])
def test_where_other_machines_reach_it_there_must_be_keys(host: str) -> None:
    for admin_keys in ((), ("key-of-the-operator",)):
        with pytest.raises(SettingsError, match=f"KRONOS_HOST is '{host}'.*set KRONOS_API_KEYS"):
            Settings(Path("b"), host, admin_keys=admin_keys)
    assert Settings(Path("b"), host, api_keys=("first-key-of-many",)).host == host


def test_keys_of_a_file_join_those_of_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# the flow's\nsecond-key-of-many\n\n  third-key-of-many  \nfirst-key-of-many\n")
    given = {
        "KRONOS_BUNDLE": "b",
        "KRONOS_API_KEYS": "first-key-of-many",
        "KRONOS_API_KEYS_FILE": str(file),
    }
    settings = Settings.from_environment(given)
    assert settings.api_keys == ("first-key-of-many", "second-key-of-many", "third-key-of-many")
    assert "key-of-many" not in repr(settings)


@pytest.mark.parametrize(
    "key", ["short", "fifteen-of-them", "with spaces in it", "schlüssel-zum-server", "a" * 16 + "\x07"]
)
def test_a_key_that_cannot_be_used_is_not_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="key 2 of KRONOS_ADMIN_KEYS cannot be used") as refused:
        Settings.from_environment({"KRONOS_BUNDLE": "b", "KRONOS_ADMIN_KEYS": f"key-of-the-operator,{key}"})
    assert key not in str(refused.value)


def test_a_file_of_keys_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for file in (tmp_path / "none", binary):
        with pytest.raises(SettingsError, match=f"KRONOS_API_KEYS_FILE is '{file}', which cannot be read"):
            Settings.from_environment({"KRONOS_BUNDLE": "b", "KRONOS_API_KEYS_FILE": str(file)})
