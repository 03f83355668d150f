from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export.errors import CheckpointError
from export.model.event_encoder import EventEncoder, load_events, save_events


def test_a_new_encoder_has_no_bias_and_spread_weights() -> None:
    encoder = EventEncoder(64)
    assert encoder.proj.weight.shape == (64, 20)
    assert not encoder.proj.bias.any()
    bound = (6 / 84) ** 0.5  # Xavier's uniform bound for 20 → 64
    assert 0.8 * bound < float(encoder.proj.weight.detach().abs().max()) <= bound


@pytest.mark.parametrize("alignment", ["same", "next"])
def test_encoder_and_alignment_survive_the_way_through_a_file(alignment: str, tmp_path: Path) -> None:
    encoder = EventEncoder(8)
    save_events(encoder, alignment, tmp_path / "e.safetensors")  # type: ignore[arg-type]
    loaded = load_events(tmp_path / "e.safetensors", 8)
    assert loaded.alignment == alignment
    torch.testing.assert_close(loaded.encoder.proj.weight, encoder.proj.weight)


def test_a_file_without_metadata_aligns_rows_with_their_own_tokens(tmp_path: Path) -> None:
    save_file(EventEncoder(8).state_dict(), tmp_path / "e.safetensors")
    assert load_events(tmp_path / "e.safetensors", 8).alignment == "same"


@pytest.mark.parametrize(
    ("d_model", "metadata", "message"),
    [
        (16, {}, r"this model expects \{'proj.weight': \(16, 20\)"),
        (8, {"event_alignment": "later"}, "expected 'same' or 'next'"),
        (8, {"event_schema": "2"}, "this version exports schema 1"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    d_model: int, metadata: dict[str, str], message: str, tmp_path: Path
) -> None:
    save_file(EventEncoder(8).state_dict(), tmp_path / "e.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message):
        load_events(tmp_path / "e.safetensors", d_model)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read the events file"):
        load_events(tmp_path / "absent.safetensors", 8)
