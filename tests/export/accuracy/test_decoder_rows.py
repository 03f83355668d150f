from pathlib import Path

import numpy as np
import pytest
import torch

from export.accuracy.decoder_rows import (
    FLAT_TEMPERATURE,
    DecoderRows,
    DecoderSessions,
    Sampling,
    forcing_draw,
    negative_log_likelihood,
)
from export.accuracy.errors import AccuracyError
from export.decoder_runs import TorchReference, random_sequence
from export.model.checkpoint import Checkpoint
from export.sampling import sample
from tests.helpers.cuda import base_like_decoder

ROWS, PREFILL, STEPS = 3, 6, 3
GREEDY = Sampling(np.zeros((ROWS, 2)), top_k=1)
LENGTH = PREFILL + STEPS


@pytest.mark.parametrize("break_ties", [False, True])
@pytest.mark.parametrize("scale", [0.1, 5.0, 60.0])
def test_the_draw_of_a_token_makes_the_graphs_sampling_draw_it(scale: float, break_ties: bool) -> None:
    """Each of 1,024 tokens, those of almost no probability too; with ties where torch's sort orders them."""
    logits = np.random.default_rng(0).normal(0, scale, 1024).astype(np.float32)
    if break_ties:
        logits = logits.astype(np.float16).astype(np.float32)
        logits[10:20] = logits[30]
    tokens = np.arange(1024)
    rows = np.tile(logits, (1024, 1))
    drawn = sample(
        torch.from_numpy(rows),
        torch.full((1024, 1), FLAT_TEMPERATURE),
        torch.full((1024, 1), 1024),
        torch.ones(1024, 1),
        torch.from_numpy(forcing_draw(rows, tokens))[:, None],
        break_ties=break_ties,
    )
    np.testing.assert_array_equal(drawn[:, 0].numpy(), tokens)


def test_the_likelihood_is_that_of_a_softmax() -> None:
    logits = np.random.default_rng(1).normal(0, 20, (5, 8)).astype(np.float32)
    tokens = np.array([0, 3, 7, 7, 1])
    expected = [-torch.log_softmax(torch.from_numpy(logits[i]).double(), 0)[t] for i, t in enumerate(tokens)]
    np.testing.assert_allclose(negative_log_likelihood(logits, tokens), expected, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("bundle", ["tiny_base_bundle", "half_bundle"])
def test_scores_are_torchs_logits_given_the_real_tokens(
    bundle: str, shared: bool, tiny_checkpoint: Checkpoint, request: pytest.FixtureRequest
) -> None:
    """Rows of their own after a prefill, and rows that continue one history."""
    folder: Path = request.getfixturevalue(bundle)
    decoder = tiny_checkpoint.decoder if bundle == "tiny_base_bundle" else base_like_decoder(2)
    sequence = random_sequence(folder, decoder, None, ROWS, LENGTH)
    if shared:
        sequence = sequence.with_prefix_of_first_row(PREFILL)
    reference = TorchReference.of(decoder, sequence)
    s1, s2 = sequence.s1.numpy(), sequence.s2.numpy()
    sessions = DecoderSessions.of(folder)
    conditioning = sessions.conditioning(sequence.stamp.numpy())
    position = np.arange(ROWS * LENGTH).reshape(ROWS, LENGTH)
    count = 1 if shared else ROWS
    rows = DecoderRows(sessions.decoder, conditioning, count, PREFILL if shared else LENGTH)
    rows.feed(
        s1[:count, :PREFILL],
        s2[:count, :PREFILL],
        position[:count, :PREFILL],
        Sampling(GREEDY.uniform[:count]),
    )
    if shared:
        rows = DecoderRows.after(sessions, rows, conditioning, ROWS, STEPS)
    for step in range(PREFILL, LENGTH - 1):
        at = slice(step, step + 1)
        following = s1[:, step + 1]
        logits = rows.score(s1[:, at], s2[:, at], position[:, at], following)
        expected = reference.logits([step + 1] * ROWS, following[:, None])
        tolerance = 1e-4 if bundle == "tiny_base_bundle" else 3e-2
        np.testing.assert_allclose(logits[0], expected["s1_logits"], atol=tolerance)
        np.testing.assert_allclose(logits[1], expected["s2_logits"], atol=tolerance)


def test_logits_that_are_no_numbers_are_refused(tiny_base_bundle: Path) -> None:
    sessions = DecoderSessions.of(tiny_base_bundle)
    stamp = np.ones((1, 2, 5), np.int64)
    rows = DecoderRows(sessions.decoder, sessions.conditioning(stamp) * np.nan, 1, 2)
    one = np.array([[1]])
    with pytest.raises(AccuracyError, match="no numbers"):
        rows.score(one, one, one, np.array([5]))
