"""Symbols in paths: one component for the router, whatever they hold; the symbol itself for the handler."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.http.symbol_paths import routable


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/candles/SPY", "/candles/SPY"),
        ("/candles/SPY/", "/candles/SPY"),
        ("/candles/BTC%2FUSDT", "/candles/BTC%2FUSDT"),
        ("/candles/BTC/USDT", "/candles/BTC%2FUSDT"),
        ("/candles/BTC/USDT:USDT", "/candles/BTC%2FUSDT%3AUSDT"),
        ("/candles/%2FES", "/candles/%2FES"),
        ("/candles/BTC%252FUSDT", "/candles/BTC%252FUSDT"),
        ("/candles/%5EGSPC", "/candles/%5EGSPC"),
        ("/candles/A/history", "/candles/A%2Fhistory"),
        ("/predictions/SPY", "/predictions/SPY"),
        ("/predictions/BTC/USDT/history", "/predictions/BTC%2FUSDT/history"),
        ("/predictions/BTC%2FUSDT/chart.png", "/predictions/BTC%2FUSDT/chart.png"),
        ("/predictions/BTC/USDT/chart%2Epng/", "/predictions/BTC%2FUSDT/chart.png"),
        ("/predictions/A%2Fhistory", "/predictions/A%2Fhistory"),
        ("/predictions/A%2Fhistory/history", "/predictions/A%2Fhistory/history"),
        ("/predictions/history", "/predictions/history"),
        ("/predictions/chart.png/chart.png", "/predictions/chart.png/chart.png"),
        ("/candles/", None),
        ("/predictions//", None),
        ("/candles", None),
        ("/symbols", None),
        ("/", None),
        ("/predict", None),
    ],
)
def test_the_symbol_is_one_component(raw: str, path: str | None) -> None:
    assert routable(raw) == path


ENDINGS = st.sampled_from(["", "/history", "/inputs", "/chart.png"])


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), ENDINGS)
def test_an_encoded_symbol_arrives_as_it_is(symbol: str, ending: str) -> None:
    path = routable(f"/predictions/{quote(symbol, safe='')}{ending}")
    assert path is not None
    assert path.endswith(ending)
    (arrived,) = path.removesuffix(ending).removeprefix("/predictions/").split("/")
    assert unquote(arrived) == symbol


@given(st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")))
def test_any_path_is_routed_or_left_alone(rest: str) -> None:
    for prefix in ("/candles/", "/predictions/"):
        path = routable(prefix + rest)
        assert path is None or path.count("/") in (2, 3)
