"""Figures are stored by part, with the machine, and read again as they were."""

from pathlib import Path

from benchmarks.performance.results import load_all, store


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    rows = [
        {"size": "base", "seconds": 1.23456789, "shares": {"attention": 0.333333}, "counts": [3, 0.1234567]}
    ]
    stored = store("floors", rows, tmp_path)
    assert stored.rows == [
        {"size": "base", "seconds": 1.235, "shares": {"attention": 0.3333}, "counts": [3, 0.1235]}
    ]
    kind = stored.machine["compiled_operators"]
    assert load_all(tmp_path) == {kind: {"floors": stored}}
    assert {"cpu", "cores", "instruction_sets", "onnxruntime", "date", "commit"} <= set(stored.machine)


def test_a_part_replaces_its_earlier_figures_alone(tmp_path: Path) -> None:
    store("floors", [{"seconds": 1.0}], tmp_path)
    store("memory", [{"rss_mb": 2.0}], tmp_path)
    store("floors", [{"seconds": 3.0}], tmp_path)
    (results,) = load_all(tmp_path).values()
    assert {part: result.rows for part, result in results.items()} == {
        "floors": [{"seconds": 3.0}],
        "memory": [{"rss_mb": 2.0}],
    }
