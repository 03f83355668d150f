"""Operators are sorted into kinds, and the profile of a real request is complete."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.performance import operators
from benchmarks.performance.operators import Event, kind_of, summary, with_earliest

VOCABULARY = 1024
PRODUCTS, QUANTISING, ATTENTION, SAMPLING, REST = operators.KINDS


@pytest.mark.parametrize(
    ("operator", "shapes", "kind"),
    [
        ("MatMul", [(20, 1, 832)], PRODUCTS),  # its weights were rearranged
        ("MatMulInteger", [(20, 832), (832, 2496)], PRODUCTS),
        ("MatMul", [(16, 20, 391), (16, 391, 64)], ATTENTION),
        ("MatMulIntegerToFloat", [(20, 1, 832), (832, 2496), ()], PRODUCTS),
        ("QuantizeLinear", [(1, 391, 832), ()], QUANTISING),
        ("ReduceMax", [(20, 1, 832), (1,)], QUANTISING),
        ("ReduceMax", [(16, 20, 391), (1,)], ATTENTION),
        ("Div", [(20, 1024), (20, 1)], SAMPLING),
        ("GroupQueryAttention", [(1, 391, 2496)], ATTENTION),
        ("HistoryAttention", [(1, 391, 832)], ATTENTION),
        ("StepAttention8", [(1, 1, 3072)], ATTENTION),
        ("PrefixAttention", [(20, 1, 3072)], ATTENTION),
        ("RoundRows", [(20, 1, 832)], QUANTISING),
        ("Sample", [(20, 1024)], SAMPLING),
        ("Softmax", [(16, 20, 391)], ATTENTION),
        ("Softmax", [(20, 1024)], SAMPLING),
        ("TopK", [(20, 1024), (1,)], SAMPLING),
        ("Gather", [(1024, 832), (20, 1)], REST),
        ("Gather", [(1024, 1024), (20, 1)], REST),
        ("RotaryEmbedding", [(20, 1, 1024)], ATTENTION),
        ("Add", [(1, 16, 128, 391)], ATTENTION),  # the causal mask
        ("Shape", [], REST),
    ],
)
def test_operators_belong_to_kinds(operator: str, shapes: list[tuple[int, ...]], kind: str) -> None:
    assert kind_of(Event(0, 1, operator, tuple(shapes)), VOCABULARY) == kind


def test_shares_are_of_the_operators_within_the_spans() -> None:
    events = [
        Event(5, 60, "MatMul", ((1, 1, 8),)),
        Event(15, 30, "TopK", ((1, 8), (1,))),
        Event(18, 10, "Add", ((1, 1, 8),)),
        Event(25, 900, "Add", ((1, 1, 8),)),  # after the spans
    ]
    found = summary(events, [(0, 10), (10, 20)], 8)
    assert found["shares"] == {PRODUCTS: 0.6, QUANTISING: 0.0, ATTENTION: 0.0, SAMPLING: 0.3, REST: 0.1}
    assert found["rest"] == {"Add": 0.1}
    assert found["operators"] == 1


def row(commit: str, cpu: str = "A") -> dict[str, Any]:
    return {"commit": commit, "cpu": cpu}


@pytest.mark.parametrize(
    ("earlier", "kept"),
    [
        ([], []),
        ([row("1")], [row("1")]),
        ([row("1"), row("1"), row("2")], [row("1"), row("1")]),
        ([row("now")], []),
        ([row("1", "B")], []),
    ],
)
def test_the_earliest_figures_of_this_processor_stay(
    earlier: list[dict[str, Any]], kept: list[dict[str, Any]]
) -> None:
    assert with_earliest(earlier, [row("now")]) == [*kept, row("now")]


def test_a_real_request_is_profiled(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "bundle", lambda *_: tiny_bundle)
    prefill, step = operators.profile("fp32", paths=1)
    assert (prefill["phase"], step["phase"]) == ("prefill", "step")
    for found in (prefill, step):
        assert sum(found["shares"].values()) == pytest.approx(1)
        absent = {QUANTISING} if found is step else {QUANTISING, SAMPLING}  # a history draws nothing
        assert all(share > 0 for kind, share in found["shares"].items() if kind not in absent)
        assert found["operators"] > 30
