"""Requests to the engine and to upstream are timed in turns; long ones are extrapolated from a few steps."""

from pathlib import Path

import pytest

from benchmarks.performance import upstream
from benchmarks.performance.upstream import extrapolated
from export.model.checkpoint import Checkpoint


@pytest.mark.parametrize(
    ("constant", "step", "more", "steps"), [(0.5, 2.0, 1, 120), (0.0, 3.0, 7, 2), (1.0, 0.25, 16, 1)]
)
def test_equal_steps_are_extrapolated_exactly(constant: float, step: float, more: int, steps: int) -> None:
    single, longer = constant + step, constant + (1 + more) * step
    assert extrapolated(single, longer, more, steps) == pytest.approx(constant + steps * step)


@pytest.mark.parametrize(
    ("single", "longer", "more"), [(0.2, 0.15, 3), (0.2, 0.2, 1), (10.3, 10.2, 1), (10.3, 12.0, 1)]
)
def test_times_that_another_program_has_disturbed_are_refused(
    single: float, longer: float, more: int
) -> None:
    """A step of no time would make upstream as fast as its first step, as a published row once had it."""
    with pytest.raises(RuntimeError, match=f"one step took {single} s and {1 + more} steps"):
        extrapolated(single, longer, more)


@pytest.mark.parametrize("longest_s", [upstream.LONGEST_S, 0.0])
def test_a_sliding_request_that_takes_too_long_is_marked(
    tiny_bundle: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, longest_s: float
) -> None:
    for name, value in {
        "bundle": lambda *_: tiny_bundle,
        "checkpoint": lambda _: tiny_checkpoint,
        "PRECISIONS": ("fp32",),
        "PATHS": (1,),
        "PRED_LEN": 8,
        "UPSTREAM_BUDGET_S": 0.1,
        "_ROUNDS": 1,
        "LONGEST_S": longest_s,
        # Steps of the tiny model are too short to be compared.
        "extrapolated": lambda single, longer, more: max(single, longer) * more,
    }.items():
        monkeypatch.setattr(upstream, name, value)
    rows = upstream.sliding("tiny")
    assert [(row["stride"], row["complete"]) for row in rows] == [(1, longest_s > 0), (64, True)]
    assert all(row["engine"] > 0 and row["upstream"] > 0 for row in rows)
    assert rows[0]["upstream"] == rows[1]["upstream"]
