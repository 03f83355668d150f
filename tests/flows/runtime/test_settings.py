"""Settings read from the environment."""

import pytest

from flows.runtime.settings import FlowSettings


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRONOS_SERVER", "KRONOS_SERVERS", "KRONOS_TIMEOUT_S"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KRONOS_API_KEY", "")
    monkeypatch.setenv("KRONOS_SHORTER_LOOKBACK", "")
    assert FlowSettings.from_env() == FlowSettings(("http://127.0.0.1:8200",), 600.0, None)


def test_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONOS_SERVER", "http://models:9000")
    monkeypatch.setenv("KRONOS_TIMEOUT_S", " 30 ")
    monkeypatch.setenv("KRONOS_API_KEY", "key-of-the-flows")
    settings = FlowSettings.from_env()
    assert settings == FlowSettings(("http://models:9000",), 30.0, "key-of-the-flows")
    assert "key-of-the-flows" not in repr(settings)


@pytest.mark.parametrize("variable", ["KRONOS_TIMEOUT_S", "KRONOS_STATEMENT_TIMEOUT_S"])
@pytest.mark.parametrize("given", ["soon", "", "0", "-5", "nan", "inf", "86401"])
def test_a_wrong_timeout_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, given: str) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(ValueError, match=f"{variable} is '{given}'; give a number of seconds"):
        FlowSettings.from_env()


@pytest.mark.parametrize("given", ["some", "", "0", "-5", "1001", "2.5"])
def test_a_wrong_number_of_requests_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("KRONOS_REQUESTS_AT_ONCE", given)
    expected = f"KRONOS_REQUESTS_AT_ONCE is '{given}'; give a whole number from 1 to 1000, such as 6"
    with pytest.raises(ValueError, match=expected):
        FlowSettings.from_env()


@pytest.mark.parametrize(
    ("given", "address"),
    [("", None), (" tcp://127.0.0.1:8786 ", "tcp://127.0.0.1:8786"), ("tls://[::1]:9", "tls://[::1]:9")],
)
def test_a_dask_cluster_is_used_where_there_is_an_address(
    monkeypatch: pytest.MonkeyPatch, given: str, address: str | None
) -> None:
    monkeypatch.setenv("KRONOS_DASK_ADDRESS", given)
    assert FlowSettings.from_env().dask_address == address


@pytest.mark.parametrize("given", ["dask", "127.0.0.1:8786", "http://scheduler:8786", "tcp://scheduler"])
def test_another_dask_address_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("KRONOS_DASK_ADDRESS", given)
    with pytest.raises(ValueError, match=r"KRONOS_DASK_ADDRESS is .* such as tcp://127\.0\.0\.1:8786"):
        FlowSettings.from_env()


@pytest.mark.parametrize("given", ["", " ", "localhost:8200", "ftp://models", "http://models/predict"])
def test_an_unusable_server_is_named_with_an_example(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("KRONOS_SERVER", given)
    with pytest.raises(ValueError, match=r"KRONOS_SERVER cannot be used: .* such as http://127") as refusal:
        FlowSettings.from_env()
    assert repr(given) in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "servers"),
    [
        ("http://a:8200", ("http://a:8200",)),
        (" http://b:8200/ , https://a/models", ("http://b:8200", "https://a/models")),
    ],
)
def test_several_servers_keep_their_order(
    monkeypatch: pytest.MonkeyPatch, given: str, servers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("KRONOS_SERVERS", given)
    settings = FlowSettings.from_env()
    assert settings.servers == servers
    assert settings.server_url == servers[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "KRONOS_SERVERS cannot be used: '' is empty"),
        ("http://a:8200,", "KRONOS_SERVERS cannot be used: '' is empty"),
        ("http://a:8200,b:8200", "KRONOS_SERVERS cannot be used: 'b:8200' has no scheme"),
        ("http://a:8200 http://b:8200", "has a blank in it"),
        ("http://a:8200,http://a:8200/", "lists an address twice"),
    ],
)
def test_an_unusable_list_of_servers_is_named(
    monkeypatch: pytest.MonkeyPatch, given: str, words: str
) -> None:
    monkeypatch.setenv("KRONOS_SERVERS", given)
    with pytest.raises(ValueError, match=words):
        FlowSettings.from_env()


def test_one_server_and_a_list_are_not_both_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONOS_SERVER", "http://a:8200")
    monkeypatch.setenv("KRONOS_SERVERS", "http://a:8200,http://b:8200")
    with pytest.raises(ValueError, match="KRONOS_SERVER and KRONOS_SERVERS are both set; set one of them"):
        FlowSettings.from_env()


@pytest.mark.parametrize(
    ("given", "timeframes"), [("none", set()), ("1d", {"1d"}), ("60m, 1D", {"1h", "1d"}), ("", {"1h"})]
)
def test_timeframes_of_a_shorter_lookback_are_listed(
    monkeypatch: pytest.MonkeyPatch, given: str, timeframes: set[str]
) -> None:
    monkeypatch.setenv("KRONOS_SHORTER_LOOKBACK", given)
    assert FlowSettings.from_env().shorter_lookback == timeframes


@pytest.mark.parametrize("given", ["off", "1h,3h", ",", "1M"])
def test_another_shorter_lookback_is_named(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("KRONOS_SHORTER_LOOKBACK", given)
    with pytest.raises(ValueError, match=r"KRONOS_SHORTER_LOOKBACK is .*1h,1d, or none"):
        FlowSettings.from_env()


@pytest.mark.parametrize(
    ("server", "page", "address"),
    [
        ("http://models:9000", "", "http://models:9000"),
        ("http://user:secret@models:9000/kronos", "", "http://models:9000/kronos"),
        ("http://models:9000", "https://forecasts.example.com/", "https://forecasts.example.com"),
    ],
)
def test_links_lead_to_the_page(
    monkeypatch: pytest.MonkeyPatch, server: str, page: str, address: str
) -> None:
    monkeypatch.setenv("KRONOS_SERVER", server)
    monkeypatch.setenv("KRONOS_PAGE_URL", page)
    assert FlowSettings.from_env().page_address == address


def test_an_unusable_page_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONOS_PAGE_URL", "forecasts.example.com")
    with pytest.raises(ValueError, match=r"KRONOS_PAGE_URL cannot be used: 'forecasts"):
        FlowSettings.from_env()
