"""The JSON of answers in pieces: the same bytes as of the whole at once."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.http.answer_json import PIECE_VALUES, answer_pieces, batch_pieces, joined
from inference_server.schemas import (
    BatchItem,
    FeatureColumns,
    ModelName,
    PredictAnswer,
    PredictBatchAnswer,
    Problem,
)

NAMES = ("open", "high", "low", "close", "volume", "amount")
# What stands in strings must not be taken for the place of the samples or the results.
TRICKY = ',"samples":null,"results":[]'


def answer(samples: Any, symbol: str = "BTC-USD") -> PredictAnswer:
    return PredictAnswer(
        symbol=symbol,
        timeframe="1h",
        as_of=datetime(2024, 3, 1, tzinfo=UTC),
        timestamps=[datetime(2024, 3, 1, 1, tzinfo=UTC)],
        p10=[1.0],
        p50=[2.0],
        p90=[3.5],
        mean=FeatureColumns(**{name: [0.1] for name in NAMES}),
        samples=samples,
        seed=7,
        sample_count=9,
        lookback_used=40,
        model=ModelName(name="mini", version="abc"),
        events_used=False,
        warnings=[TRICKY],
    )


def draws(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(1e4, 1e3, shape).astype(np.float32).astype(np.float64)


SAMPLES = [None, draws(1, 1), draws(256, 120), draws(30, 120, 6), draws(2, 3 * PIECE_VALUES), draws(5, 1, 6)]


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_an_answer_in_pieces_is_the_answer(number: int) -> None:
    samples = SAMPLES[number]
    whole = msgspec.json.encode(answer(None if samples is None else samples.tolist(), TRICKY))
    pieces = list(answer_pieces(answer(samples, TRICKY)))
    assert b"".join(pieces) == whole
    if samples is not None and samples.size > 2 * PIECE_VALUES:
        assert len(pieces) > samples.size / PIECE_VALUES / 2


def test_a_batch_in_pieces_is_the_batch() -> None:
    def batch(of: Any) -> PredictBatchAnswer:
        items = [
            BatchItem(symbol=f"{TRICKY}{number}", result=answer(of(samples)))
            for number, samples in enumerate(SAMPLES)
        ]
        broken = BatchItem(symbol="B", error=Problem(title="t", status=422, detail=TRICKY, given=[1]))
        return PredictBatchAnswer(results=[*items[:3], broken, *items[3:]], warnings=[TRICKY])

    whole = msgspec.json.encode(batch(lambda samples: None if samples is None else samples.tolist()))
    assert b"".join(batch_pieces(batch(lambda samples: samples))) == whole
    empty = PredictBatchAnswer(results=[], warnings=[])
    assert b"".join(batch_pieces(empty)) == msgspec.json.encode(empty)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_number_is_written_as_before(values: list[float]) -> None:
    made = b"".join(answer_pieces(answer(np.array([values]))))
    assert made == msgspec.json.encode(answer([values]))


def test_parts_are_of_the_size_in_which_they_are_sent() -> None:
    pieces = [b"x" * 70_000] * 20
    parts = joined(iter(pieces))
    assert b"".join(parts) == b"".join(pieces)
    assert [len(part) for part in parts] == [280_000] * 5 + [0]
