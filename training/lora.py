"""Trains low-rank updates (LoRA, Hu et al. 2021) of q_proj and v_proj, and writes them in PEFT's layout."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from export.model.adapter import TARGETS
from export.model.decoder import KronosDecoder
from export.model.layers import Attention

RANK: Final = 8
ALPHA: Final = 16.0
DROPOUT: Final = 0.05


class LoraLinear(nn.Module):
    """A frozen projection with an update: W x + B(A(dropout x)) · α/r; B is zero to begin with.

    The package peft does the same, but depends on transformers and accelerate.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.lora_A = nn.Parameter(torch.empty(RANK, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, RANK))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        update = F.linear(F.linear(self.dropout(x), self.lora_A), self.lora_B)
        out: Tensor = self.base(x) + update * (ALPHA / RANK)
        return out


def add_lora(decoder: KronosDecoder) -> None:
    """Freeze a decoder, and give q_proj and v_proj of its attention layers an update, in place.

    That includes the dependency layer, so that events act on s2 as well as on s1.
    """
    decoder.requires_grad_(False)
    layers = [layer for layer in decoder.modules() if isinstance(layer, Attention)]
    for layer in layers:
        for target in TARGETS:
            setattr(layer, target, LoraLinear(getattr(layer, target)))


def lora_layers(decoder: KronosDecoder) -> Iterator[tuple[str, LoraLinear]]:
    """Yield names and modules of the updated projections."""
    for name, module in decoder.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


def save_lora(decoder: KronosDecoder, base: str, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as PEFT does, in float16.

    Parameters
    ----------
    base
        Name of the checkpoint that the updates were trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"base_model.model.{name}.lora_{side}.weight": getattr(layer, f"lora_{side}").detach().half().cpu()
        for name, layer in lora_layers(decoder)
        for side in "AB"
    }
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": DROPOUT,
        "target_modules": list(TARGETS),
        "bias": "none",
        "fan_in_fan_out": False,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
