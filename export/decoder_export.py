"""Write the decoder's graphs as ONNX files: `decoder.onnx`, `paths.onnx`, `branches.onnx`."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from export.branches import join_branches
from export.graph import DecoderGraph, cache_layouts, layout_of
from export.model.adapter import Adapter
from export.model.decoder import KronosDecoder
from export.onnx_export import ROWS, TOKENS, export_module
from inference_server.engine.bundle import CacheLayout

# name, example, dynamic axes
Input = tuple[str, Tensor, dict[int, Any]]


class _CachesByName(nn.Module):
    """Takes the caches as a flat list, since the exporter names inputs one by one."""

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


def export_decoder(
    decoder: KronosDecoder,
    adapter: Adapter | None,
    max_context: int,
    dtype: torch.dtype,
    file: Path,
    *,
    shared_prefix: bool = False,
) -> None:
    """Write the step graph of `export.graph`: `decoder.onnx`, or `paths.onnx` with a shared prefix."""
    layouts = cache_layouts(decoder)
    # A copy: the graph shares modules with the decoder, and casting them would cast the reference too.
    graph = DecoderGraph(copy.deepcopy(decoder), max_context, adapter, layout_of(dtype)).to(dtype).eval()
    rows = torch.export.Dim("rows")
    inputs = _row_inputs(decoder.config.d_model, dtype, rows, tokens=1 if shared_prefix else TOKENS)
    if adapter is not None:
        inputs.append(("adapter_gate", torch.ones(ROWS, 1, 1, dtype=dtype), {0: rows}))
    names, examples, axes = (list(column) for column in zip(*inputs, strict=True))
    cache_names = [f"{kind}.{i}" for i in range(len(layouts)) for kind in ("key", "value")]
    prefix_names = [f"prefix_{name}" for name in cache_names] if shared_prefix else []
    prefix = _cache_examples(layouts, 1, 6, dtype) if shared_prefix else []
    export_module(
        _CachesByName(graph, adapter is not None),
        (examples, _cache_examples(layouts, ROWS, 4, dtype), prefix),
        [*names, *(f"past_{name}" for name in cache_names), *prefix_names],
        ["next_s1", "next_s2", "s1_logits", "s2_logits", *(f"present_{name}" for name in cache_names)],
        (
            axes,
            [{0: rows, 2: torch.export.Dim("capacity")}] * len(cache_names),
            [{2: torch.export.Dim("prefix")}] * len(prefix_names),
        ),
        file,
    )


def _row_inputs(width: int, dtype: torch.dtype, rows: Any, *, tokens: int) -> list[Input]:
    """Return the inputs that every graph of the decoder has; one token per row is no dynamic axis."""
    length = {} if tokens == 1 else {1: torch.export.Dim("length")}
    # Three tensors, not one used three times: torch.export takes one object given twice for one input.
    s1, s2, position = (torch.zeros(ROWS, tokens, dtype=torch.int64) for _ in range(3))
    return [
        ("s1", s1, {0: rows} | length),
        ("s2", s2, {0: rows} | length),
        ("position", position, {0: rows} | length),
        ("conditioning", torch.zeros(5, width, dtype=dtype), {0: torch.export.Dim("candles")}),
        ("last_index", torch.full((ROWS, 1), tokens - 1), {0: rows}),
        ("seqlens_k", torch.full((ROWS,), tokens - 1, dtype=torch.int32), {0: rows}),
        ("total_sequence_length", torch.tensor([tokens], dtype=torch.int32), {}),
        ("uniform", torch.rand(ROWS, 2), {0: rows}),
        ("temperature", torch.ones(ROWS, 1), {0: rows}),
        ("top_k", torch.zeros(ROWS, 1, dtype=torch.int64), {0: rows}),
        ("top_p", torch.ones(ROWS, 1), {0: rows}),
    ]


def _cache_examples(layouts: list[CacheLayout], rows: int, tokens: int, dtype: torch.dtype) -> list[Tensor]:
    """Return a key and a value cache (rows, heads, tokens, head_dim) of every layer."""
    shapes = [(rows, layout.heads, tokens, layout.head_dim) for layout in layouts for _ in range(2)]
    return [torch.zeros(shape, dtype=dtype) for shape in shapes]


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
