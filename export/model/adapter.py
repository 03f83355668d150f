"""Reads a LoRA adapter (Hu et al. 2021) on q_proj and v_proj from PEFT's safetensors layout."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from export.errors import CheckpointError
from export.model.decoder import KronosDecoder

TARGETS = ("q_proj", "v_proj")
_KEY = re.compile(r"^base_model\.model\.(?P<layer>.+)\.(?P<proj>\w+)\.lora_(?P<side>[AB])\.weight$")
# PEFT settings that change the arithmetic, with their only supported value.
_SUPPORTED = {
    "bias": "none",
    "use_dora": False,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
}


@dataclass(frozen=True)
class LowRank:
    """One low-rank update of a projection: x ↦ b (a x), where b includes the factor α/r.

    Shapes: a (r, d_in), b (d_out, r).
    """

    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Adapter:
    """Low-rank updates by attention layer ("transformer.0.self_attn", …) and projection."""

    rank: int
    updates: dict[str, dict[str, LowRank]]


def load_adapter(folder: Path, decoder: KronosDecoder) -> Adapter:
    """Read `adapter_config.json` and `adapter_model.safetensors` and check them against the decoder.

    The targets may include the dependency layer, whose projections share the names q_proj and v_proj.

    Raises
    ------
    CheckpointError
        A file is absent, a setting or target is not supported, or a tensor does not fit.
    """
    config_file, weights_file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    try:
        config = json.loads(config_file.read_text())
        tensors = load_file(weights_file)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except KeyError as e:
        raise CheckpointError(f"{config_file} has no field {e}; r and lora_alpha are required") from e
    except Exception as e:
        raise CheckpointError(f"cannot read the adapter in {folder}: {e}") from e
    for name, supported in _SUPPORTED.items():
        if config.get(name, supported) not in (supported, None):
            raise CheckpointError(
                f"{config_file}: {name} = {config[name]!r} is not supported, only {supported!r} is"
            )
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    return Adapter(rank, _updates(tensors, rank, scale, decoder, weights_file))


def _updates(
    tensors: dict[str, Tensor], rank: int, scale: float, decoder: KronosDecoder, file: Path
) -> dict[str, dict[str, LowRank]]:
    """Return the updates by layer and projection, from tensors named as PEFT names them."""
    sides: dict[tuple[str, str], dict[str, Tensor]] = {}
    shapes = {name: tuple(t.shape) for name, t in decoder.state_dict().items()}
    for key, tensor in tensors.items():
        match = _KEY.match(key)
        target = f"{match['layer']}.{match['proj']}.weight" if match else None
        if match is None or match["proj"] not in TARGETS or target not in shapes:
            raise CheckpointError(
                f"{file}: {key} adapts a layer that is not supported; supported are {' and '.join(TARGETS)} "
                "of the attention layers"
            )
        d_out, d_in = shapes[target]
        expected = (rank, d_in) if match["side"] == "A" else (d_out, rank)
        if tuple(tensor.shape) != expected:
            raise CheckpointError(f"{file}: {key} is {tuple(tensor.shape)}, expected {expected}")
        sides.setdefault((match["layer"], match["proj"]), {})[match["side"]] = tensor.float()
    if not sides:
        raise CheckpointError(f"{file} holds no adapter tensors")
    updates: dict[str, dict[str, LowRank]] = {}
    for (layer, proj), pair in sides.items():
        if set(pair) != {"A", "B"}:
            raise CheckpointError(
                f"{file}: {layer}.{proj} has lora_{next(iter(pair))} without its counterpart"
            )
        updates.setdefault(layer, {})[proj] = LowRank(pair["A"], pair["B"] * scale)
    return updates


def merged(decoder: KronosDecoder, adapter: Adapter) -> dict[str, Tensor]:
    """Return the decoder's weights with the updates added, as the exported graph computes with gate 1."""
    state = dict(decoder.state_dict())
    for layer, updates in adapter.updates.items():
        for proj, low_rank in updates.items():
            name = f"{layer}.{proj}.weight"
            state[name] = state[name] + low_rank.b @ low_rank.a
    return state
