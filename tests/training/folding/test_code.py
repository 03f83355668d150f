from dataclasses import replace

import numpy as np
import pytest

from export.model.sizes import SIZES
from training.folding.code import CodeBit, Quantity, fitted_code, gray_waves


def test_the_waves_of_the_worked_example_in_the_documentation() -> None:
    waves = gray_waves(range(4), np.array([0.66]))[:, 0]
    np.testing.assert_allclose(waves, [0.32, 0.36, 0.28, 0.44])
    at_an_edge = gray_waves(range(3), np.array([0.75]))[:, 0]
    np.testing.assert_allclose(at_an_edge, [0.5, 0.0, 1.0])


def test_each_wave_is_a_folding_of_the_one_before() -> None:
    waves = gray_waves(range(8), np.linspace(0, 1, 1001))
    np.testing.assert_allclose(waves[1:], 1 - 2 * np.abs(waves[:-1]), atol=1e-12)


def test_the_signs_number_all_cells_and_change_one_bit_from_cell_to_cell() -> None:
    signs = gray_waves(range(5), (np.arange(32) + 0.5) / 32) > 0
    assert len(np.unique(signs, axis=1).T) == 32
    assert ((signs[:, 1:] != signs[:, :-1]).sum(axis=0) == 1).all()


@pytest.mark.parametrize(("s1_bits", "s2_bits"), [(9, 9), (9, 10), (10, 9), (10, 10)])
def test_each_quantity_has_its_most_significant_bits_and_as_many_cells_as_they_number(
    s1_bits: int, s2_bits: int
) -> None:
    config = replace(SIZES["demo"].tokenizer, s1_bits=s1_bits, s2_bits=s2_bits)
    code = fitted_code(config, np.random.default_rng(0).normal(size=(500, 6)))
    assert len(code.bits) == s1_bits + s2_bits
    assert len(code.fine_positions()) == 4
    for quantity in Quantity:
        positions = code.coarse_positions(quantity)
        assert [code.bits[i] for i in positions] == [CodeBit(quantity, k) for k in range(len(positions))]
        assert len(code.edges[quantity]) == 2 ** len(positions) + 1
        assert (np.diff(code.edges[quantity]) > 0).all()
