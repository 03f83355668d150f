from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from export.errors import CheckpointError
from export.model.adapter import load_adapter, merged
from export.model.checkpoint import Checkpoint
from tests.helpers.adapters import write_adapter

LAYERS = ["transformer.0.self_attn", "transformer.1.self_attn"]


def test_updates_are_scaled_by_alpha_over_r(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    decoder = tiny_checkpoint.decoder
    adapter = load_adapter(write_adapter(tmp_path, decoder, LAYERS), decoder)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    prefix = "base_model.model.transformer.1.self_attn.v_proj"
    delta = tensors[f"{prefix}.lora_B.weight"] @ tensors[f"{prefix}.lora_A.weight"] * 16 / 4
    name = "transformer.1.self_attn.v_proj.weight"
    torch.testing.assert_close(merged(decoder, adapter)[name], decoder.state_dict()[name] + delta)
    untouched = "transformer.1.self_attn.k_proj.weight"
    assert torch.equal(merged(decoder, adapter)[untouched], decoder.state_dict()[untouched])


def test_rank_stabilised_adapters_scale_by_the_root(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    decoder = tiny_checkpoint.decoder
    plain = load_adapter(write_adapter(tmp_path / "a", decoder, LAYERS), decoder)
    stable = load_adapter(write_adapter(tmp_path / "b", decoder, LAYERS, use_rslora=True), decoder)
    a, b = (x.updates[LAYERS[0]]["q_proj"].b for x in (plain, stable))
    torch.testing.assert_close(b, a * 2)  # 16/√4 against 16/4


def test_the_dependency_layer_may_be_adapted_too(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    decoder = tiny_checkpoint.decoder
    adapter = load_adapter(write_adapter(tmp_path, decoder, ["dep_layer.cross_attn"]), decoder)
    assert set(adapter.updates["dep_layer.cross_attn"]) == {"q_proj", "v_proj"}


@pytest.mark.parametrize(
    ("layers", "config", "message"),
    [
        (["transformer.9.self_attn"], {}, "transformer.9.self_attn.q_proj.lora_A.weight adapts a layer"),
        (LAYERS, {"use_dora": True}, "use_dora = True is not supported"),
        (LAYERS, {"bias": "all"}, "bias = 'all' is not supported"),
        (LAYERS, {"r": 8}, r"is \(4, 64\), expected \(8, 64\)"),
        ([], {}, "holds no adapter tensors"),
    ],
)
def test_an_adapter_that_can_not_be_used_says_why(
    layers: list[str], config: dict[str, Any], message: str, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    write_adapter(tmp_path, tiny_checkpoint.decoder, layers, **config)
    with pytest.raises(CheckpointError, match=message):
        load_adapter(tmp_path, tiny_checkpoint.decoder)


def test_half_an_update_is_refused(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_adapter(tmp_path, tiny_checkpoint.decoder, LAYERS)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    del tensors["base_model.model.transformer.0.self_attn.q_proj.lora_B.weight"]
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="has lora_A without its counterpart"):
        load_adapter(tmp_path, tiny_checkpoint.decoder)


def test_an_absent_adapter_is_named(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read the adapter"):
        load_adapter(tmp_path, tiny_checkpoint.decoder)
