import itertools

import torch

from export.model.checkpoint import randomise
from export.model.tokenizer import KronosTokenizer
from tests.helpers.stretches import TOKENIZER, stretch
from training.data.windows import Sampler
from training.tokenizer_loss import (
    quantiser_loss,
    reconstruction_error,
    straight_through,
    token_use,
    tokenizer_loss,
)


def test_the_gradient_passes_through_the_sign() -> None:
    z = torch.tensor([[0.6, -0.8]], requires_grad=True)
    code = straight_through(z)
    torch.testing.assert_close(code.detach(), torch.tensor([[1.0, -1.0]]) / 2**0.5)
    (code * torch.tensor([2.0, 3.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.tolist() == [[2.0, 3.0]]


def test_the_code_is_what_decoding_tokens_gives() -> None:
    tokenizer = KronosTokenizer(TOKENIZER).eval()
    randomise(tokenizer, 1)
    values = Sampler([stretch(100)], 64, 2, seed=0).batch(0).values
    with torch.no_grad():
        code = straight_through(tokenizer.quantiser_input(values))
        z = tokenizer.post_quant_embed(code)
        for block in tokenizer.decoder:
            z = block(z)
        torch.testing.assert_close(tokenizer.head(z), tokenizer.decode(*tokenizer.encode(values)))


def test_even_use_of_the_bits_costs_less_than_one_token_for_all() -> None:
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=8)))[None] / 8**0.5
    alike = corners[:, :1].expand_as(corners)
    assert quantiser_loss(corners, corners, TOKENIZER) < quantiser_loss(alike, alike, TOKENIZER)


def test_vectors_far_from_their_corner_cost_more() -> None:
    corner = torch.ones(1, 1, 8) / 8**0.5
    away = torch.nn.functional.normalize(torch.tensor([[[1.0] * 7 + [0.01]]]), dim=-1)
    assert quantiser_loss(away, corner, TOKENIZER) > quantiser_loss(corner, corner, TOKENIZER)


def test_a_perfect_reconstruction_has_no_error() -> None:
    values = Sampler([stretch(100)], 64, 2, seed=0).batch(0).values
    assert reconstruction_error(values, values) == 0
    # An offset counts in units of the window's moves as well, which are much smaller than its spread.
    assert reconstruction_error(values + 0.1, values) > 0.01


def test_every_weight_is_trained() -> None:
    tokenizer = KronosTokenizer(TOKENIZER)
    randomise(tokenizer, 1)
    tokenizer_loss(tokenizer, Sampler([stretch(100)], 64, 2, seed=0).batch(0)).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in tokenizer.parameters())


def test_the_use_of_tokens_is_a_share() -> None:
    tokenizer = KronosTokenizer(TOKENIZER).eval()
    randomise(tokenizer, 1)
    with torch.no_grad():
        used = token_use(tokenizer, Sampler([stretch(100)], 64, 2, seed=0).fixed(2))
    assert 0 < used["s1_used"] <= 1
    assert 0 < used["s2_used"] <= 1
    assert used["close_error"] > 0
