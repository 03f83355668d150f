"""Random LoRA adapters in PEFT's layout."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from export.model.decoder import KronosDecoder


def write_adapter(
    folder: Path, decoder: KronosDecoder, layers: Sequence[str], rank: int = 4, **config: Any
) -> Path:
    """Adapt q_proj and v_proj of the layers named; both sides random, so that the adapter acts."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(9)
    width = decoder.config.d_model
    tensors = {}
    for layer in layers:
        for proj in ("q_proj", "v_proj"):
            prefix = f"base_model.model.{layer}.{proj}"
            tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, width, generator=generator) * 0.2
            tensors[f"{prefix}.lora_B.weight"] = torch.randn(width, rank, generator=generator) * 0.2
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    return folder
