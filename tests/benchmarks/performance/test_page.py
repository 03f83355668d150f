"""docs/performance.md says what the stored figures say, and every block fits figures of two precisions."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.performance import page, plots
from benchmarks.performance.blocks import BLOCKS
from benchmarks.performance.results import load_all
from tests.helpers.performance_figures import RESULTS, ROWS


def test_the_page_says_what_the_stored_figures_say() -> None:
    text, results = page.PAGE.read_text(), load_all()
    assert results
    assert page.with_blocks(text, results) == text


def test_the_pictures_of_the_page_exist() -> None:
    names = re.findall(r"\]\((performance/\w+/\w+\.png)\)", page.PAGE.read_text())
    assert names
    for name in names:
        assert (page.PAGE.parent / name).is_file(), name


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            "upstream",
            ["| base | 392 + 120 | 1 | 1 | 3.00 s† | 1.00 s | 60.0 s | 20 × | 60 × |", "commit abc1234"],
        ),
        ("sliding", ["| base | 512 + 120 | 1 | 1 | 50.0 s† | 20.0 s | 60.0 s | 1.2 × | 3.0 × |"]),
        ("batch", ["| base | int8 | 25 × 20 | 392 + 120 | 60.0 s | 2.40 s | 25 | 0.90 GB |"]),
        (
            "floors",
            ["| float32 | step, 20 rows | 60.0 ms | 10.0 ms | 20.0 ms | 3.0 × |", "400 MB at 20.0 GB/s"],
        ),
        ("rates", ["| 1 | 20 | 20 | 20 | 20 | 20 | 20 |"]),
        ("growth", ["![seconds by clients](performance/amx/clients.png)", "| int8 | 1: 1.00 s, 2: 2.00 s |"]),
        (
            "profile",
            ["| int8 | step, 20 paths | 20.0 ms | 20 % | 20 % | 20 % | 20 % | 20 % | Split 15 % | 400 |"],
        ),
        (
            "precisions",
            ["| step, 20 rows | 60.0 ms | int8 | 30.0 ms | 2.0 × |", "| 180 s | int8 | 60.0 s | 3.0 × |"],
        ),
        ("accuracy", ["| int8 | CRPS of close | +0.12 % | -0.05 % to +0.31 % |", "100 of crypto, 200 of fx"]),
        ("memory", ["| float32 | 256 × 120 | 200 | 77 | 1.50 GB | 1.60 GB |"]),
        ("sizing", ["| base | float32 | 28.8 s | 1 (3) | 10 (96) |", "the fewest cores: base: int8"]),
    ],
)
def test_a_block_shows_its_figures(block: str, expected: list[str]) -> None:
    text = BLOCKS[block](RESULTS)
    assert [words for words in expected if words not in text] == []


def test_a_precision_that_one_part_lacks_is_a_dash() -> None:
    mini = replace(RESULTS["upstream-base"], rows=[ROWS["upstream-base"][0] | {"size": "mini"}])
    assert "| 60.0 s | 20 × | – |" in BLOCKS["upstream"](RESULTS | {"upstream-mini": mini})


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_without_figures_says_so(block: str) -> None:
    assert BLOCKS[block]({}).startswith("Not measured yet")


def test_what_is_outside_the_marks_stays() -> None:
    empty = "".join(
        f"before {name}\n<!-- measured: {name} -->\nold\n<!-- end of {name} -->\n" for name in BLOCKS
    )
    by_kind = {"amx": RESULTS, "avx2": RESULTS}
    text = page.with_blocks(empty, by_kind)
    assert "old\n" not in text
    assert text.count("**With AVX2**") == len(BLOCKS)
    assert page.with_blocks(text, by_kind) == text
    assert re.sub(r"(?s)(<!-- measured: (\w+) -->\n).*?(<!-- end)", r"\1old\n\3", text) == empty


@pytest.mark.parametrize("wrong", ["", "<!-- measured: speed -->\n<!-- end of speed -->\n"])
def test_marks_that_are_missing_or_unknown_are_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected is each of upstream"):
        page.with_blocks(wrong, {"amx": RESULTS})


def test_a_picture_is_drawn_the_same_again(tmp_path: Path) -> None:
    for file in (tmp_path / "a.png", tmp_path / "b.png"):
        plots.growth(ROWS["growth-paths"], "paths", "fixed", file)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
