"""Write graphs as ONNX files: tokenizer encode and decode, time embedding, EventEncoder."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from export.model.decoder import TIME_FIELDS, TimeEmbedding
from export.model.event_encoder import EventEncoder
from export.model.tokenizer import KronosTokenizer
from market.event_channels import EVENT_CHANNELS

OPSET = 18
ROWS, TOKENS = 2, 3  # example sizes: neither 0 nor 1, on which the exporter would specialise


class _Encode(nn.Module):
    def __init__(self, tokenizer: KronosTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, candles: Tensor) -> tuple[Tensor, Tensor]:
        return self.tokenizer.encode(candles)


class _Decode(nn.Module):
    def __init__(self, tokenizer: KronosTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, past_s1: Tensor, past_s2: Tensor, s1: Tensor, s2: Tensor) -> Tensor:
        return self.tokenizer.decode_continuations(past_s1, past_s2, s1, s2)


def export_encoder(tokenizer: KronosTokenizer, file: Path) -> None:
    """`tokenizer_encode.onnx`: candles (B, T, 6) to s1, s2 (B, T)."""
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length")}
    export_module(
        _Encode(tokenizer), (torch.randn(ROWS, TOKENS, 6),), ["candles"], ["s1", "s2"], (dims,), file
    )


def export_decoder_of_tokens(tokenizer: KronosTokenizer, file: Path) -> None:
    """`tokenizer_decode.onnx`: one past (1, P) and continuations (B, G) to candles (B, G, 6)."""
    past, length = {1: torch.export.Dim("past")}, torch.export.Dim("length")
    row = {0: torch.export.Dim("rows"), 1: length}
    # Four tensors, not two used twice: torch.export takes one object given twice for one input.
    tokens = [
        torch.zeros(shape, dtype=torch.int64) for shape in ((1, 4), (1, 4), (ROWS, TOKENS), (ROWS, TOKENS))
    ]
    names = ["past_s1", "past_s2", "s1", "s2"]
    export_module(_Decode(tokenizer), tuple(tokens), names, ["candles"], (past, past, row, row), file)


def export_time_embedding(embedding: TimeEmbedding, file: Path) -> None:
    """`time_embedding.onnx`: stamps (B, S, 5) to time_embedding (B, S, d_model), float32."""
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length")}
    example = (torch.ones(ROWS, TOKENS, len(TIME_FIELDS), dtype=torch.int64),)
    export_module(embedding, example, ["stamp"], ["time_embedding"], (dims,), file)


def export_event_encoder(encoder: EventEncoder, file: Path) -> None:
    """`event_encoder.onnx`: events (B, S, 20) to event_embedding (B, S, d_model), float32."""
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length")}
    example = (torch.randn(ROWS, TOKENS, len(EVENT_CHANNELS)),)
    export_module(encoder, example, ["events"], ["event_embedding"], (dims,), file)


def export_module(
    module: nn.Module,
    example: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dims: tuple[Any, ...],
    file: Path,
) -> None:
    """Export a module as an ONNX file.

    Parameters
    ----------
    module
        Put into eval mode.
    example
        Inputs of example shapes; no size may be 0 or 1 where an axis is dynamic.
    inputs, outputs
        Names, in the order of `example` and of what the module returns, lists flattened.
    dims
        The dynamic axes of `example`, in its structure.
    """
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dims,
            opset_version=OPSET,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    # The exporter records source paths and versions, which differ between machines.
    ClearMetadataAndDocStringPass()(program.model)
    onnx.save(program.model_proto, file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings about its own internals, which are of no use to a user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
