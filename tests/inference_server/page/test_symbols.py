"""Symbols that hold what a path or a query has a use for: every route answers to them, and the page too."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from litestar.testing import TestClient

from inference_server.app import create_app
from inference_server.settings import Settings
from sql.connect import connect
from tests.helpers.databases import temporary_copy
from tests.helpers.serving import LOOPBACK
from tests.helpers.stored import NOW, add_symbol
from tests.inference_server.page.conftest import ALIAS, SLASHED, Watched

SYMBOLS = [
    "BTC/USDT",
    "BTC/USDT:USDT",
    "EUR/USD",
    "BRK.B",
    "^GSPC",
    "EURUSD=X",
    "ES 2024-12",
    "/ES",
    "A&B",
    "A+B",
    "50%",
    "BTC%2FUSDT",
    "Zürich",
    "日経225",
    "A?b=1#c",
    "A/history",
    "chart.png",
]
HOURLY = {"timeframe": "1h"}
PNG = b"\x89PNG\r\n\x1a\n"
ROUTES = ["/candles/{}", "/predictions/{}", "/predictions/{}/history", "/predictions/{}/inputs"]


@pytest.fixture(scope="module")
def client(postgres_url: str, migrated_template: str) -> Iterator[TestClient[Any]]:
    with temporary_copy(postgres_url, migrated_template) as url:
        with connect(url, autocommit=True) as database:
            for symbol in SYMBOLS:
                add_symbol(database, symbol)
        with TestClient(
            create_app(Settings(bundle=Path("none"), database_url=url)), base_url=LOOPBACK
        ) as client:
            yield client


def test_every_route_answers_to_any_symbol(client: TestClient[Any]) -> None:
    assert {one["symbol"] for one in client.get("/symbols").json()["symbols"]} == set(SYMBOLS)
    for symbol in SYMBOLS:
        encoded = quote(symbol, safe="")
        for _ in range(2):  # the second time from Litestar's cache of paths
            candles, made, history, inputs = (
                client.get(route.format(encoded), params=HOURLY) for route in ROUTES
            )
            assert (candles.json()["symbol"], len(candles.json()["open"])) == (symbol, 120)
            assert made.json()["symbol"] == symbol
            assert len(history.json()["predictions"]) == 1
            assert inputs.json()["lookback"] == 40
        assert client.get(f"/predictions/{encoded}/chart.png", params=HOURLY).content.startswith(PNG)
        span = {"start": NOW.isoformat(), "end": "2024-12-20"}
        assert client.get("/calendar", params={"symbol": symbol, **span}).status_code == 200


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT", "EUR/USD"])
def test_a_slash_may_stand_as_it_is(client: TestClient[Any], symbol: str) -> None:
    candles, made, history, inputs = (client.get(route.format(symbol), params=HOURLY) for route in ROUTES)
    assert (candles.json()["symbol"], made.json()["symbol"]) == (symbol, symbol)
    assert (len(history.json()["predictions"]), inputs.json()["lookback"]) == (1, 40)
    assert client.get(f"/predictions/{symbol}/chart.png", params=HOURLY).content.startswith(PNG)


def test_a_slash_in_an_unknown_symbol_is_named_as_it_is(client: TestClient[Any]) -> None:
    problem = client.get("/candles/ETH%2FUSDT", params=HOURLY).json()
    assert problem["detail"].startswith("ETH/USDT is no registered symbol")
    assert problem["detail"].endswith("; did you mean ETHUSDT or ETH-USD?")
    assert problem["given"] == "ETH/USDT"


def test_the_document_has_the_symbol_as_one_parameter(client: TestClient[Any]) -> None:
    paths = client.get("/docs/openapi.json").json()["paths"]
    for route in (*ROUTES, "/predictions/{}/chart.png"):
        named = [one["name"] for one in paths[route.format("{symbol}")]["get"]["parameters"]]
        assert named.count("symbol") == 1


def test_metrics_count_them_under_their_route(client: TestClient[Any]) -> None:
    client.get("/predictions/BTC/USDT/history", params=HOURLY)
    text = client.get("/metrics").text
    assert 'route="/predictions/{symbol}/history"' in text
    assert "BTC" not in text


def test_the_page_shows_and_runs_a_symbol_with_a_slash(page: str, watched: Watched) -> None:
    watched.tab.goto(page)
    watched.shown("EURUSD 1h")
    watched.tab.select_option("#symbol", SLASHED)
    watched.shown(f"{SLASHED} 1h")
    assert SLASHED in (watched.tab.get_attribute("#chart", "aria-label") or "")
    watched.tab.locator("#go:enabled").wait_for()
    watched.tab.click("#go")
    watched.tab.locator("#run-state", has_text="Took").wait_for(timeout=30_000)
    asked = f"{page}/predictions/{quote(SLASHED, safe='')}"
    for part in ("?", "/history?", "/inputs?"):
        assert any(one.startswith(asked + part) for one in watched.addresses)
    address = watched.tab.url
    assert address.startswith(f"{page}/#symbol={quote(SLASHED, safe='')}&timeframe=1h&as_of=")
    watched.tab.goto("about:blank")
    watched.tab.goto(address)  # as a link that somebody keeps
    watched.shown(f"{SLASHED} 1h")
    assert watched.tab.input_value("#symbol") == SLASHED
    assert watched.console == []


def test_the_page_takes_an_alias_and_shows_the_decimals_of_the_tick_size(page: str, watched: Watched) -> None:
    watched.tab.goto(f"{page}/#symbol={ALIAS}&timeframe=1h")
    watched.shown(f"{SLASHED} 1h")
    assert watched.tab.input_value("#symbol") == SLASHED
    assert re.search(r"Last close\s+[\d,]+\.\d{3}\s", watched.tab.inner_text("#facts"))
    assert watched.console == []
