import pytest
import torch

from export.model.checkpoint import randomise
from export.model.decoder import KronosDecoder
from tests.helpers.stretches import DECODER
from training.objective import s2_logits, token_nll, weighted_mean

LENGTH = 12


@pytest.fixture(scope="module")
def decoder():
    module = KronosDecoder(DECODER).eval()
    randomise(module, 4)
    return module.requires_grad_(False)


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(1)
    s1, s2 = (torch.randint(16, (3, LENGTH), generator=generator) for _ in range(2))
    stamp = torch.stack(
        [torch.arange(LENGTH) * 0, torch.arange(LENGTH) % 24, *[torch.ones(LENGTH).long()] * 3], -1
    )
    return (
        s1,
        s2,
        stamp.expand(3, -1, -1).clone(),
        torch.randn(3, LENGTH, DECODER.d_model, generator=generator),
    )


def test_every_position_is_scored_as_inference_scores_its_last(decoder, tokens):
    s1, s2, stamp, events = tokens
    hidden = decoder.hidden(s1, s2, stamp, events)
    next_s1 = s1.roll(-1, 1)
    batched = s2_logits(decoder, hidden, next_s1)
    for t in range(LENGTH):
        prefix = decoder.hidden(*(tensor[:, : t + 1] for tensor in (s1, s2, stamp, events)))
        alone = decoder.s2_logits(prefix, next_s1[:, t : t + 1])
        torch.testing.assert_close(batched[:, t : t + 1], alone, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(decoder.s1_logits(hidden)[:, t], decoder.s1_logits(prefix)[:, -1])


@pytest.mark.parametrize("changed", range(1, LENGTH))
def test_no_future_token_changes_an_earlier_logit(decoder, tokens, changed):
    s1, s2, stamp, events = (tensor.clone() for tensor in tokens)
    before = token_nll(decoder, s1, s2, stamp, events)
    s2[:, changed] = (s2[:, changed] + 5) % 16
    after_s2 = token_nll(decoder, s1, s2, stamp, events)
    for tensor in (s1, stamp):
        tensor[:, changed] = (tensor[:, changed] + 3) % 7
    events[:, changed] += 1
    after = token_nll(decoder, s1, s2, stamp, events)
    # Position t - 1 predicts token t: its own likelihood may change, those before may not.
    assert torch.equal(before.s1[:, : changed - 1], after.s1[:, : changed - 1])
    assert torch.equal(before.s2[:, : changed - 1], after.s2[:, : changed - 1])
    # A candle's s1 is drawn before its s2 is.
    assert torch.equal(before.s1[:, :changed], after_s2.s1[:, :changed])
    assert not torch.equal(before.s2[:, changed - 1], after.s2[:, changed - 1])


def test_likelihoods_are_those_of_distributions(decoder, tokens):
    s1, s2, stamp, _ = tokens
    total = torch.zeros(3)
    for a in range(16):
        for b in range(16):
            s1[:, -1], s2[:, -1] = a, b
            total += torch.exp(-token_nll(decoder, s1, s2, stamp).candle[:, -1])
    torch.testing.assert_close(total, torch.ones(3))


def test_a_weighted_mean_counts_what_has_weight():
    values = torch.tensor([[1.0, 2.0, 9.0]])
    assert weighted_mean(values, torch.tensor([[1.0, 3.0, 0.0]])) == 1.75
    assert weighted_mean(values, torch.zeros(1, 3)) == 0
