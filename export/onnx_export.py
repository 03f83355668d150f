"""Write the graphs of a bundle: tokenizer encode and decode, time embedding, EventEncoder, decoder."""

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from export.branches import join_branches
from export.graph import DecoderGraph, cache_layouts, layout_of
from export.model.adapter import Adapter
from export.model.decoder import TIME_FIELDS, KronosDecoder, TimeEmbedding
from export.model.event_encoder import EventEncoder
from export.model.tokenizer import KronosTokenizer
from market.event_channels import EVENT_CHANNELS

OPSET = 18
_B, _S = 2, 3  # example sizes: neither 0 nor 1, so that nothing is specialised on them


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


class _CachesByName(nn.Module):
    """Takes the caches as a flat list, as the exporter names inputs one by one."""

    def __init__(self, graph: DecoderGraph, gated: bool) -> None:
        super().__init__()
        self.step, self.gated = graph, gated

    def forward(self, inputs: list[Tensor], caches: list[Tensor], prefix: list[Tensor]) -> tuple[Tensor, ...]:
        common, gate = (inputs[:-1], inputs[-1]) if self.gated else (inputs, None)
        out: tuple[Tensor, ...] = self.step(
            *common, _in_pairs(caches), gate, _in_pairs(prefix) if prefix else None
        )
        return out


def _in_pairs(tensors: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(tensors[::2], tensors[1::2], strict=True))


def export_encoder(tokenizer: KronosTokenizer, file: Path) -> None:
    """`tokenizer_encode.onnx`: candles (B, T, 6) to s1, s2 (B, T)."""
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length")}
    _export(_Encode(tokenizer), (torch.randn(_B, _S, 6),), ["candles"], ["s1", "s2"], (dims,), file)


def export_decoder_of_tokens(tokenizer: KronosTokenizer, file: Path) -> None:
    """`tokenizer_decode.onnx`: one past (1, P) and continuations (B, G) to candles (B, G, 6)."""
    past, length = {1: torch.export.Dim("past")}, torch.export.Dim("length")
    row = {0: torch.export.Dim("rows"), 1: length}
    # Four tensors, not two used twice: torch.export takes one object given twice for one input.
    tokens = [torch.zeros(shape, dtype=torch.int64) for shape in ((1, 4), (1, 4), (_B, _S), (_B, _S))]
    names = ["past_s1", "past_s2", "s1", "s2"]
    _export(_Decode(tokenizer), tuple(tokens), names, ["candles"], (past, past, row, row), file)


def export_time_embedding(embedding: TimeEmbedding, file: Path) -> None:
    """`time_embedding.onnx`: stamps (B, S, 5) to time_embedding (B, S, d_model), float32."""
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length")}
    example = (torch.ones(_B, _S, len(TIME_FIELDS), dtype=torch.int64),)
    _export(embedding, example, ["stamp"], ["time_embedding"], (dims,), file)


def export_event_encoder(encoder: EventEncoder, file: Path) -> None:
    """`event_encoder.onnx`: events (B, S, 20) to event_embedding (B, S, d_model), float32."""
    dims = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length")}
    example = (torch.randn(_B, _S, len(EVENT_CHANNELS)),)
    _export(encoder, example, ["events"], ["event_embedding"], (dims,), file)


def export_decoder(
    decoder: KronosDecoder,
    adapter: Adapter | None,
    max_context: int,
    dtype: torch.dtype,
    file: Path,
    *,
    shared_prefix: bool = False,
) -> None:
    """`decoder.onnx`, or `paths.onnx` with a shared prefix: the step graph of `export.graph`."""
    layouts = cache_layouts(decoder)
    # A copy: the graph shares modules with the decoder, and casting them would cast the reference too.
    graph = DecoderGraph(copy.deepcopy(decoder), max_context, adapter, layout_of(dtype)).to(dtype).eval()
    rows, width = torch.export.Dim("rows"), decoder.config.d_model
    new = 1 if shared_prefix else _S
    length = {} if shared_prefix else {1: torch.export.Dim("length")}
    # name, example, dynamic axes
    table: list[tuple[str, Tensor, dict[int, Any]]] = [
        ("s1", torch.zeros(_B, new, dtype=torch.int64), {0: rows} | length),
        ("s2", torch.zeros(_B, new, dtype=torch.int64), {0: rows} | length),
        ("position", torch.zeros(_B, new, dtype=torch.int64), {0: rows} | length),
        ("conditioning", torch.zeros(5, width, dtype=dtype), {0: torch.export.Dim("candles")}),
        ("last_index", torch.full((_B, 1), new - 1), {0: rows}),
        ("seqlens_k", torch.full((_B,), new - 1, dtype=torch.int32), {0: rows}),
        ("total_sequence_length", torch.tensor([new], dtype=torch.int32), {}),
        ("uniform", torch.rand(_B, 2), {0: rows}),
        ("temperature", torch.ones(_B, 1), {0: rows}),
        ("top_k", torch.zeros(_B, 1, dtype=torch.int64), {0: rows}),
        ("top_p", torch.ones(_B, 1), {0: rows}),
    ]
    if adapter is not None:
        table.append(("adapter_gate", torch.ones(_B, 1, 1, dtype=dtype), {0: rows}))
    names, examples, dims = zip(*table, strict=True)
    cache_names = [f"{kind}.{i}" for i in range(len(layouts)) for kind in ("key", "value")]
    prefix_names = [f"prefix_{name}" for name in cache_names] if shared_prefix else []

    def caches(leading: int, tokens: int) -> list[Tensor]:
        shapes = [(leading, c.heads, tokens, c.head_dim) for c in layouts for _ in range(2)]
        return [torch.zeros(shape, dtype=dtype) for shape in shapes]

    _export(
        _CachesByName(graph, adapter is not None),
        (list(examples), caches(_B, 4), caches(1, 6) if shared_prefix else []),
        [*names, *(f"past_{n}" for n in cache_names), *prefix_names],
        ["next_s1", "next_s2", "s1_logits", "s2_logits", *(f"present_{n}" for n in cache_names)],
        (
            list(dims),
            [{0: rows, 2: torch.export.Dim("capacity")}] * len(cache_names),
            [{2: torch.export.Dim("prefix")}] * len(prefix_names),
        ),
        file,
    )


def export_branches(
    decoder: KronosDecoder, adapter: Adapter, max_context: int, dtype: torch.dtype, file: Path
) -> None:
    """`branches.onnx`: the graphs for rows with events and for many paths (`export.branches`)."""
    with tempfile.TemporaryDirectory() as folder:

        def exported(name: str, adapter: Adapter | None, *, shared_prefix: bool) -> onnx.ModelProto:
            part = Path(folder) / name
            export_decoder(decoder, adapter, max_context, dtype, part, shared_prefix=shared_prefix)
            return onnx.load(part)

        join_branches(
            exported("plain_paths.onnx", None, shared_prefix=True),
            exported("adapted_paths.onnx", adapter, shared_prefix=True),
            exported("adapted_decoder.onnx", adapter, shared_prefix=False),
            file,
        )


def _export(
    module: nn.Module,
    example: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dims: tuple[Any, ...],
    file: Path,
) -> None:
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
    # The exporter notes where each operation was written: paths, and another version on each machine.
    ClearMetadataAndDocStringPass()(program.model)
    onnx.save(program.model_proto, file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's notes on its own insides: they tell a user nothing."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
