"""The weights that a graph multiplies with are counted; every operator that is timed runs here."""

from pathlib import Path

import pytest

from benchmarks.performance import products
from inference_server.engine.bundle import DECODER_FILE, load_manifest


def test_the_weights_of_a_bundle_are_those_of_its_products(tiny_bundle: Path) -> None:
    count, nbytes = products.weights_of(tiny_bundle / DECODER_FILE)
    parameters = load_manifest(tiny_bundle).parameters
    assert nbytes == 4 * count
    # The tables of token embeddings are looked up, not multiplied with.
    assert 0.3 * parameters < count < parameters


@pytest.mark.parametrize("operator", products.OPERATORS)
def test_every_operator_multiplies(operator: str) -> None:
    run = products.product(operator, rows=3, width=160)
    _, result = run()
    assert result.shape == (3, products.COLUMNS)
    assert (result != 0).mean() > 0.9
