from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from export.sampling import _without_ties, sample

ROW = torch.tensor([[0.0, 3.0, 1.0, 2.0]])  # falling order: 1, 3, 2, 0


def draw(
    logits: torch.Tensor,
    u: float,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    break_ties: bool = False,
) -> int:
    column = torch.ones(len(logits), 1)
    settings = (column * temperature, (column * top_k).long(), column * top_p, column * u)
    token = sample(logits, *settings, break_ties=break_ties)
    return int(token[0, 0])


@pytest.mark.parametrize(
    ("settings", "u", "token"),
    [
        ({}, 0.0, 1),
        ({}, 0.999, 0),
        ({"top_k": 1}, 0.999, 1),
        ({"top_k": 2}, 0.999, 3),
        ({"top_k": 2, "top_p": 0.1}, 0.999, 3),  # top_k switches top_p off
        ({"top_k": 99}, 0.9999, 0),  # more than there are
        ({"top_p": 0.0}, 0.999, 1),  # always at least one
        ({"top_p": 0.64}, 0.999, 1),  # 0.644 is before the second: just outside …
        ({"top_p": 0.645}, 0.999, 3),  # … and just inside
        ({"temperature": 0.01}, 0.999, 1),
    ],
)
def test_the_table_of_filters(settings: dict[str, float], u: float, token: int) -> None:
    assert draw(ROW, u, **settings) == token  # type: ignore[arg-type]


def test_ties_go_by_index_and_all_tokens_tied_with_the_kth_stay() -> None:
    ties = torch.tensor([[1.0, 1.0, 0.0]])
    assert draw(ties, 0.0, top_k=1) == 0
    assert draw(ties, 0.99, top_k=1) == 1


def test_rows_have_their_own_settings() -> None:
    logits = ROW.repeat(3, 1)
    token = sample(
        logits,
        torch.tensor([[1.0], [1.0], [0.01]]),
        torch.tensor([[0], [2], [0]]),
        torch.tensor([[1.0], [1.0], [1.0]]),
        torch.full((3, 1), 0.999),
    )
    assert token[:, 0].tolist() == [0, 3, 1]


def test_frequencies_follow_the_probabilities() -> None:
    n = 20_000
    u = torch.tensor(np.random.default_rng(0).random((n, 1)), dtype=torch.float32)
    ones = torch.ones(n, 1)
    tokens = sample(ROW.repeat(n, 1), ones, (ones * 0).long(), ones, u)[:, 0]
    expected = torch.softmax(ROW, -1)[0]
    seen = torch.bincount(tokens, minlength=4) / n
    torch.testing.assert_close(seen, expected, atol=0.01, rtol=0)


@given(
    logits=hnp.arrays(np.float32, (1, 16), elements=st.floats(-30, 30, width=32)),
    u=st.floats(0, 1, exclude_max=True, width=32),
    top_p=st.floats(0, 1, width=32),
    top_k=st.integers(0, 20),
)
def test_a_drawn_token_is_always_one_that_upstream_keeps(
    logits: np.ndarray, u: float, top_p: float, top_k: int
) -> None:
    kronos = pytest.importorskip("model.kronos", reason="the oracle kronos-model-arch is not installed")
    row = torch.tensor(logits)
    token = draw(row, u, top_k=top_k, top_p=top_p)
    kept = row if not (top_k or top_p < 1) else kronos.top_k_top_p_filtering(row.clone(), top_k, top_p)
    # By value: among tied tokens upstream's sort keeps any, ours the first.
    assert row[0, token] in row[torch.isfinite(kept)]


def _topk(values: torch.Tensor, ties: str) -> Any:
    """Sort as a runtime may: what is equal comes by rising or by falling index."""
    flipped = values if ties == "rising" else values.flip(-1)
    order = torch.argsort(flipped, dim=-1, descending=True, stable=True)
    order = order if ties == "rising" else values.shape[-1] - 1 - order
    return torch.return_types.topk((torch.gather(values, -1, order), order))


TIED = [-60.0, -3.0, -0.5, 0.0, 2.0**-24, 1.0, 1.001, 7.5, 65504.0]


@given(
    logits=hnp.arrays(
        np.float16,
        (1, 1024),
        elements=st.sampled_from(TIED),
    ),
    u=st.floats(0, 1, exclude_max=True, width=32),
    settings=st.sampled_from([{}, {"top_k": 3}, {"top_p": 0.9}, {"temperature": 0.7}]),
)
def test_ties_broken_in_the_graph_go_by_index_whatever_the_sort_does(
    logits: np.ndarray, u: float, settings: dict[str, float]
) -> None:
    row = torch.tensor(logits.astype(np.float32))
    drawn = []
    for ties, break_ties in (("rising", False), ("falling", True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "topk", lambda values, *_, ties=ties, **__: _topk(values, ties))
            drawn.append(draw(row, u, break_ties=break_ties, **settings))  # type: ignore[arg-type]
    assert drawn[0] == drawn[1]


@given(st.permutations(range(1024)).map(lambda order: order[:64]))
def test_neighbours_in_half_precision_keep_their_order(indices: list[int]) -> None:
    """However near two numbers of half precision are, breaking ties does not swap them."""
    logits = torch.full((1, 1024), -1000.0)
    steps = np.array(1.5, np.float16)
    falling = []
    for _ in indices:
        falling.append(float(steps))
        steps = np.nextafter(steps, np.float16(0))
    logits[0, list(indices)] = torch.tensor(falling)
    found = [draw(logits, 0.0, top_k=1, break_ties=True)]
    assert found == [indices[0]]
    order = torch.topk(_without_ties(logits), len(indices)).indices[0].tolist()
    assert order == list(indices)


def test_a_vocabulary_that_is_too_large_to_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="a vocabulary of 2048 cannot be ordered without ties, 1024 can"):
        draw(torch.zeros(1, 2048), 0.0, break_ties=True)
