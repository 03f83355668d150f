"""Real market data: one place knows where it lies, no part of the product, and nothing fails without it."""

import re
from pathlib import Path

import pytest

from benchmarks.market import data_folder, hourly_candles, market_frames
from tests.market_data import FILES, ROOT, market_folder, missing

PRODUCT = ("export", "flows", "inference_server", "market", "sql", "training")


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONOS_DATA", str(tmp_path))
    assert market_folder() == tmp_path
    assert missing("segments.csv") == [*FILES, "segments.csv"]
    for name in FILES:
        (tmp_path / name).touch()
    assert missing() == []
    assert data_folder() == tmp_path
    for unset in ("", None):
        monkeypatch.delenv("KRONOS_DATA") if unset is None else monkeypatch.setenv("KRONOS_DATA", unset)
        assert market_folder() == ROOT.parent / "shared" / "data"


def test_without_the_folder_benchmarks_take_a_generated_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONOS_DATA", str(tmp_path))
    for cached in (market_frames, hourly_candles):
        cached.cache_clear()
    assert data_folder() is None
    assert len(hourly_candles("BTC-USD")) > 1000
    assert market_frames()[1] == "generated"
    for cached in (market_frames, hourly_candles):
        cached.cache_clear()


def test_one_file_knows_where_it_lies() -> None:
    here = {ROOT / "tests" / "market_data.py", Path(__file__)}
    for folder in (*PRODUCT, "tests", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            if file not in here:
                assert not re.search(r"shared[/\\]data|\"shared\" / \"data\"|getenv\(.KRONOS_DATA\b", text), (
                    file
                )
                assert folder not in PRODUCT or not re.search(r"\bKRONOS_DATA\b", text), file
                assert not re.search(r"environ(\.get\(|\[).KRONOS_DATA\b", text), file


def test_no_page_names_a_folder_outside_the_repository() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    assert [page.name for page in pages if "shared/data" in page.read_text(encoding="utf-8")] == []
