"""Defines the EventEncoder, which projects the 20 event channels of a candle to the decoder's width."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from export.errors import CheckpointError
from market.event_channels import EVENT_CHANNELS, EVENT_SCHEMA, Alignment


class EventEncoder(nn.Module):
    """Linear(20 → d_model), Xavier weights and zero bias until it is trained."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.proj = nn.Linear(len(EVENT_CHANNELS), d_model)
        nn.init.xavier_uniform_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, events: Tensor) -> Tensor:
        """(B, S, 20) event arrays to (B, S, d_model)."""
        out: Tensor = self.proj(events)
        return out


@dataclass(frozen=True)
class TrainedEvents:
    """An EventEncoder and the alignment of rows to tokens that it was trained with."""

    encoder: EventEncoder
    alignment: Alignment


def load_events(file: Path, d_model: int) -> TrainedEvents:
    """Read an EventEncoder's `proj.weight` (d_model, 20) and `proj.bias` (d_model).

    The file's metadata may hold `event_alignment` ("same" unless given) and `event_schema`.

    Raises
    ------
    CheckpointError
        The file is absent or not in the safetensors format, its tensors have other names or shapes, or the
        alignment or schema of its metadata is unknown.
    """
    try:
        with safe_open(file, framework="pt") as stream:
            metadata = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name).float() for name in stream.keys()}  # noqa: SIM118
    except Exception as e:
        raise CheckpointError(f"cannot read the events file {file}: {e}") from e
    expected = {"proj.weight": (d_model, len(EVENT_CHANNELS)), "proj.bias": (d_model,)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        raise CheckpointError(f"the events file {file} holds {shapes}; this model expects {expected}")
    alignment = metadata.get("event_alignment", "same")
    if alignment not in get_args(Alignment):
        raise CheckpointError(f"{file}: event_alignment is {alignment!r}; expected 'same' or 'next'")
    if (schema := metadata.get("event_schema", str(EVENT_SCHEMA))) != str(EVENT_SCHEMA):
        raise CheckpointError(f"{file}: event_schema is {schema}, this version exports schema {EVENT_SCHEMA}")
    encoder = EventEncoder(d_model)
    encoder.load_state_dict(tensors)
    return TrainedEvents(encoder.eval(), alignment)


def save_events(encoder: EventEncoder, alignment: Alignment, file: Path) -> None:
    """Write an EventEncoder in the layout that `load_events` reads."""
    metadata = {"event_alignment": alignment, "event_schema": str(EVENT_SCHEMA)}
    save_file({name: t.contiguous() for name, t in encoder.state_dict().items()}, file, metadata)
