"""The report: one file that loads nothing, shown by a real browser; and the figures as JSON."""

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.evaluation.charts import charts
from flows.evaluation.evaluation import Evaluation, LeftOut, evaluation_of
from flows.evaluation.report import write_html, write_json
from tests.helpers.simulated_backtests import SETTINGS, simulated_backtest

CHARTS = {
    "crps_by_step",
    "coverage",
    "pit",
    "reliability",
    "crps_by_month",
    "crps_by_symbol",
    "releases",
}


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_html(evaluation, file)
    return file


def test_the_answers_come_first(page: Path, evaluation: Evaluation) -> None:
    text = re.sub(r"(?s)<head>.*?</head>|<[^>]+>", "", page.read_text())
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines[1:3] == [evaluation.better_than_baselines.sentence, evaluation.events_help.sentence]
    assert "does not say on which candles the model was trained" in text
    assert "Left out: 3 windows, the feed had stopped." in text


def test_the_file_names_nothing_to_load(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r'(?:src|href)="([^"]{5})', text)) == {"data:"}
    assert "@import" not in text
    assert "url(" not in text


def test_a_browser_shows_every_chart_and_asks_for_nothing(page: Path, chromium: Any) -> None:
    with chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True) as context:
        addresses: list[str] = []
        messages: list[str] = []
        context.on("request", lambda request: addresses.append(request.url))
        tab = context.new_page()
        tab.on("console", lambda message: messages.append(message.text))
        tab.goto(page.as_uri())
        widths = tab.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
        scrolled = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert len(widths) == len(CHARTS)
    assert min(widths) > 300
    assert scrolled <= 0
    assert {address[:5] for address in addresses} <= {"file:", "data:"}
    assert messages == []


def test_charts_are_the_same_for_the_same_figures(page: Path, evaluation: Evaluation) -> None:
    again = charts(evaluation)
    assert set(again) == CHARTS
    for text in again.values():
        assert base64.b64encode(text.encode()).decode() in page.read_text()


@pytest.mark.filterwarnings("error")
def test_a_tiny_back_test_has_a_report_with_its_names_escaped(tmp_path: Path) -> None:
    scored = simulated_backtest(instants=1, symbols=1, paths=1)
    found = evaluation_of(scored, SETTINGS, LeftOut({}, {"XRP-USD": "no new candle"}, {}))
    named = msgspec.structs.replace(SETTINGS, model="<script>alert(1)</script>")
    write_html(msgspec.structs.replace(found, settings=named), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "No forecast of XRP-USD (no new candle)" in text
    assert "Width of p10–p90 at releases" not in text
    assert "<script>" not in text


def test_the_json_has_every_figure_and_null_for_those_unknown(evaluation: Evaluation, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    write_json(evaluation, file)
    written = msgspec.json.decode(file.read_bytes())
    assert set(written) == set(Evaluation.__struct_fields__)
    (persistence,) = (each for each in written["comparisons"] if each["baseline"] == "persistence")
    assert persistence["width"][0]["value"] is None
    assert persistence["overall_crps"]["high"] < 1
    assert written["better_than_baselines"]["verdict"] == "yes"
