"""The page in a real Chromium: it draws, switches, compares, says what is missing, loads from us alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inference_server.http.problems import TYPE_PREFIX
from tests.inference_server.page.conftest import PRED_LEN, Watched, serving

FORECAST = "#symbol=EURUSD&timeframe=1h"
EARLIER = f"{FORECAST}&as_of=2024-12-18T06:00:00Z"
KEY = "a-key-of-the-tests-1"


def traces(watched: Watched) -> list[dict[str, Any]]:
    """What the chart library was given to draw."""
    drawn: list[dict[str, Any]] = watched.tab.evaluate(
        "() => document.getElementById('chart').data.map("
        "({type, x, y, mode, fill, yaxis}) => ({type, x: [...x], y: y && [...y], mode, fill, yaxis}))"
    )
    return drawn


def run(watched: Watched, events: str) -> None:
    watched.tab.locator("#go:enabled").wait_for()
    watched.tab.check(f'input[name="events"][value="{events}"]')
    watched.tab.click("#go")
    watched.tab.locator("#run-state", has_text="Took").wait_for(timeout=30_000)


def clean(watched: Watched, address: str) -> None:
    """Nothing was logged, and no request left for another server."""
    assert watched.console == []
    assert watched.addresses
    for asked in watched.addresses:
        assert asked.startswith((address, "data:", "blob:")), asked


def test_it_draws_candles_envelope_and_releases(page: str, watched: Watched) -> None:
    watched.tab.goto(f"{page}/{EARLIER}")
    watched.shown("Stored forecast")
    candles, *lines, events = traces(watched)
    assert candles["type"] == "candlestick"
    assert len(candles["x"]) == 55 + PRED_LEN  # those before, and what happened since
    low, high, median = lines
    assert [len(line["x"]) for line in lines] == [PRED_LEN + 1] * 3
    assert high["fill"] == "tonexty"
    assert low["y"][0] == median["y"][0] == high["y"][0]  # they open from the last close
    assert all(a <= b <= c for a, b, c in zip(low["y"], median["y"], high["y"], strict=True))
    assert len(events["x"]) == 2  # one on either side of now
    assert events["x"][0] < median["x"][0] < events["x"][1] < median["x"][-1] + 10
    facts = watched.tab.inner_text("#facts")
    assert re.search(r"Last written\s+\d{4}-\d\d-\d\d \d\d:\d\d UTC", facts)
    assert re.search(r"From candle\s+2024-12-18 06:00 UTC", facts)
    assert re.search(rf"Closes inside\s+\d+ of {PRED_LEN}", watched.tab.inner_text("#horizon"))
    assert "Federal Funds Rate" in watched.tab.inner_text("#events")
    assert watched.tab.inner_text("#warnings") == "candles-late: newer candles had closed"
    buttons = watched.tab.locator(".modebar-btn").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert buttons == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]  # none that uploads the chart
    clean(watched, page)


def test_symbol_timeframe_and_forecast_can_be_switched(page: str, watched: Watched) -> None:
    watched.tab.goto(page)
    watched.shown("EURUSD 1h")
    assert watched.tab.is_hidden("#warnings")
    watched.tab.click("#earlier")
    watched.tab.locator("#facts", has_text="2024-12-18 06:00").wait_for()
    assert watched.tab.is_visible("#warnings")
    watched.tab.check('input[name="timeframe"][value="1d"]')
    watched.shown("EURUSD 1d")
    assert watched.tab.inner_text("#stored").strip() == "nothing stored: newest candles"
    watched.tab.select_option("#symbol", "SPY")
    watched.shown("SPY 1d")
    assert watched.tab.is_disabled('input[name="timeframe"][value="1h"]')
    shown = [
        label.inner_text()
        for label in watched.tab.query_selector_all(".segments label")
        if label.is_visible()
    ]
    assert shown == ["1 h", "1 d"]  # the others are shown where a symbol has them
    assert len(traces(watched)) == 2
    assert watched.tab.is_disabled('input[name="events"][value="with"]')
    assert "symbol=SPY" in watched.tab.url
    run(watched, "without")
    watched.shown("Without events")
    clean(watched, page)


def test_two_forecasts_are_compared_from_one_seed(page: str, watched: Watched) -> None:
    watched.tab.goto(f"{page}/{FORECAST}")
    watched.shown("Stored forecast")
    stored = traces(watched)[3]["y"]
    asked: list[dict[str, Any]] = []
    watched.tab.on("request", lambda one: asked.append(json.loads(one.post_data)) if one.post_data else None)
    run(watched, "both")
    watched.shown("With events+Without events")
    assert "Same as the stored forecast." in watched.tab.inner_text("#run-state")
    assert [one["seed"] for one in asked] == [1, 1]
    assert ["events" in one for one in asked] == [True, False]
    _, *lines, _ = traces(watched)
    with_events, without = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    assert len(with_events) == len(without) == 3 + 3  # two borders, the median, three sample paths
    assert with_events[-1]["y"] == pytest.approx(stored)
    assert without[-1]["y"] != pytest.approx(stored)
    watched.tab.fill("#seed", "12345")
    run(watched, "with")
    assert asked[-1]["seed"] == 12345
    assert "stored" not in watched.tab.inner_text("#run-state")
    watched.tab.click("#back")
    watched.shown("Stored forecast")
    assert traces(watched)[3]["y"] == pytest.approx(stored)
    clean(watched, page)


def test_probabilities_of_prices_and_another_band_come_with_a_run(page: str, watched: Watched) -> None:
    watched.tab.goto(f"{page}/{FORECAST}")
    watched.shown("Stored forecast")
    assert watched.tab.is_hidden("#odds")
    upper, lower = map(float, watched.tab.input_value("#prices").split())
    assert upper / lower == pytest.approx(1.02 / 0.98, rel=1e-3)
    watched.tab.fill("#prices", "0.5 1.5")
    run(watched, "both")
    watched.shown("With events+Without events")
    eighty = traces(watched)[1]["y"][1:]
    assert watched.tab.locator("#horizon tbody th").all_inner_texts()[:3] == ["p90", "Median", "p10"]
    watched.tab.select_option("#band", "50")
    run(watched, "both")
    watched.tab.locator("#horizon", has_text="p75").wait_for()
    fifty = traces(watched)[1]["y"][1:]
    assert all(inner >= outer for inner, outer in zip(fifty, eighty, strict=True))
    assert fifty != eighty
    assert "p25 – p75" in watched.tab.inner_text("#legend")
    rows = [row.split() for row in watched.tab.locator("#odds tbody tr").all_inner_texts()]
    assert rows[0][:2] == ["last", "close"]
    assert rows[1][0] == "1.50000"
    assert rows[2][0] == "0.50000"
    shares = [[word for word in row if word.isdigit()] for row in rows[1:]]
    assert shares == [["0", "0"] * 2, ["100", "0"] * 2]  # closes above and touched, of two forecasts
    assert "not calibrated" in watched.tab.inner_text("#odds")
    watched.tab.fill("#prices", "1,05")
    watched.tab.click("#go")
    watched.tab.locator("#run-state.bad", has_text="must be numbers").wait_for()
    watched.tab.fill("#prices", "-1")
    watched.tab.click("#go")
    watched.tab.locator("#run-state.bad", has_text="every price of the history").wait_for()
    watched.tab.click("#back")
    watched.shown("Stored forecast")
    assert watched.tab.is_hidden("#odds")
    assert [line for line in watched.console if "422" not in line] == []


def test_values_are_there_without_eyes_and_without_a_mouse(page: str, watched: Watched) -> None:
    watched.tab.goto(f"{page}/{EARLIER}")
    watched.shown("Stored forecast")
    watched.tab.focus("#chart")
    before = watched.tab.inner_text("#readout")
    watched.tab.keyboard.press("ArrowRight")
    assert watched.tab.inner_text("#readout").startswith("2024-12-18 07:00 UTC")
    assert watched.tab.inner_text("#readout") != before
    watched.tab.click("summary")
    assert watched.tab.locator("#values tbody tr").count() == PRED_LEN
    unnamed = watched.tab.evaluate(
        "() => [...document.querySelectorAll('select, input, button')].filter(one => !one.labels?.length"
        " && !one.textContent.trim() && !one.getAttribute('aria-label')).map(one => one.id)"
    )
    assert unnamed == []
    clean(watched, page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colour_scheme_and_fits_a_phone(page: str, watched: Watched, scheme: str) -> None:
    watched.tab.emulate_media(color_scheme=scheme)
    watched.tab.set_viewport_size({"width": 360, "height": 740})
    watched.tab.goto(f"{page}/{FORECAST}")
    watched.shown("Stored forecast")
    ground = watched.tab.evaluate("() => document.getElementById('chart').layout.paper_bgcolor")
    assert ground == {"light": "#ffffff", "dark": "#161e27"}[scheme]
    assert watched.tab.evaluate("() => document.documentElement.scrollWidth") <= 360
    clean(watched, page)


@pytest.mark.parametrize("width", [360, 420])
def test_a_narrow_page_keeps_to_its_width_and_shows_the_price_axis(
    page: str, watched: Watched, width: int
) -> None:
    """With long names of forecasts and prices of eight digits, before a run and after it."""
    active = ["fomc", "cpi", "nfp", "gdp", "pce", "rate_decision", "earnings"]

    def with_events(route: Any) -> None:
        answer = route.fetch().json()
        for each in answer["predictions"]:
            each["event_context"] = {"events_active": active, "surprise_directions": {}}
        route.fulfill(json=answer)

    def a_million_times(route: Any) -> None:
        answer = route.fetch().json()
        for name in ("open", "high", "low", "close"):
            answer[name] = [value * 1e6 for value in answer[name]]
        route.fulfill(json=answer)

    watched.tab.route("**/history?*", with_events)
    watched.tab.route("**/candles/*", a_million_times)
    watched.tab.set_viewport_size({"width": width, "height": 900})
    watched.tab.goto(f"{page}/{FORECAST}")
    watched.shown("Stored forecast")
    assert "earnings" in watched.tab.inner_text("#stored")
    _fits(watched, width)
    run(watched, "both")
    _fits(watched, width)


def _fits(watched: Watched, width: int) -> None:
    assert watched.tab.evaluate("() => document.documentElement.scrollWidth") <= width
    axis = watched.tab.evaluate(
        "() => [...document.querySelectorAll('#chart .ytick text')].map("
        "(text) => [text.textContent, text.getBoundingClientRect().right])"
    )
    board = watched.tab.evaluate("() => document.getElementById('chart').getBoundingClientRect().right")
    assert any(len(text) >= 12 for text, _ in axis)
    assert all(right <= board <= width for _, right in axis)


def test_while_the_model_loads_stored_forecasts_are_shown(page: str, watched: Watched) -> None:
    loading = {
        "type": f"{TYPE_PREFIX}model-not-ready",
        "detail": "the model is still being loaded",
        "status": 503,
    }
    watched.tab.route("**/model", lambda route: route.fulfill(status=503, json=loading))
    watched.tab.goto(f"{page}/{FORECAST}")
    watched.shown("Stored forecast")
    assert "still loading" in watched.tab.inner_text("#model")
    assert watched.tab.is_disabled("#go")
    watched.tab.unroute("**/model")
    watched.tab.locator("#go:enabled").wait_for()


def test_a_server_with_keys_and_without_a_database(
    tiny_bundle: Path, tmp_path: Path, watched: Watched
) -> None:
    """It asks for a key until one fits, keeps it in this tab, and offers nothing that cannot work."""
    nowhere = {"KRONOS_API_KEYS": KEY, "DATABASE_URL": "", "KRONOS_DATA_DIR": str(tmp_path / "none")}
    with serving(tiny_bundle, tmp_path, **nowhere) as address:
        watched.tab.goto(address)
        dialog = watched.tab.locator("#key-dialog")
        dialog.wait_for()
        watched.tab.fill("#key", "not-the-key-of-the-tests")
        watched.tab.keyboard.press("Enter")
        watched.tab.locator("#key-reason", has_text="not accepted").wait_for()
        watched.tab.fill("#key", KEY)
        watched.tab.keyboard.press("Enter")
        watched.tab.locator("#notice", has_text="no database").wait_for()
        assert not dialog.is_visible()
        assert watched.tab.evaluate("() => Object.values(sessionStorage)") == [KEY]
        assert watched.tab.is_disabled("#symbol")
        assert not watched.tab.is_visible("aside")
        assert [one for one in watched.console if "uncaught" in one] == []
        assert all(asked.startswith(address) for asked in watched.addresses)
