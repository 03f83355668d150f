"""Write the decoder's graphs as ONNX files: `decoder.onnx`, and for the CPU `branches.onnx`."""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.attention import head_padding
from export.attention_bodies import Sizes
from export.branches import Branches, StoredWeights, join_branches, refer_to
from export.caches import Scales
from export.functions import add_functions
from export.graph import DecoderGraph, HistoryGraph, cache_layouts, layout_of
from export.int8 import to_int8
from export.model.adapter import Adapter
from export.model.decoder import KronosDecoder
from export.onnx_export import ROWS, TOKENS, export_module
from export.products import join_biases, name_products
from inference_server.engine.bundle import BRANCHES_FILE, DECODER_FILE, EIGHT_BITS, CacheLayout

# name, example, dynamic axes
Input = tuple[str, Tensor, dict[int, Any]]
HISTORIES = 2  # example histories of the graph for many paths, with two rows each
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "int8": torch.float32}
"""Types of activations by a bundle's precision."""


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


class _InputsAsList(nn.Module):
    """Takes the inputs as a list, as `_CachesByName` does."""

    def __init__(self, graph: HistoryGraph) -> None:
        super().__init__()
        self.history = graph

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        out: tuple[Tensor, ...] = self.history(*inputs)
        return out


def _in_pairs(tensors: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(tensors[::2], tensors[1::2], strict=True))


@dataclass(frozen=True)
class DecoderExport:
    """Writes graphs of one decoder in one precision; `scales` are those of 8-bit caches, of each block."""

    decoder: KronosDecoder
    max_context: int
    precision: str
    scales: Sequence[Scales] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The type of activations."""
        return DTYPES[self.precision]

    @property
    def layouts(self) -> list[CacheLayout]:
        """The layouts of the caches."""
        return cache_layouts(self.decoder, self.precision)

    def write_for_gpu(self, adapter: Adapter | None, folder: Path) -> None:
        """`decoder.onnx`: the step graph of `export.graph` over a cache of each row."""
        self.write_steps(adapter, folder / DECODER_FILE, shared_prefix=False)

    def write_for_cpu(self, adapter: Adapter | None, folder: Path) -> None:
        """`decoder.onnx` without an adapter, `branches.onnx`, and one file with the weights of both."""
        decoder = folder / DECODER_FILE
        self.write_steps(None, decoder, shared_prefix=False)
        model = onnx.load(decoder)
        stored = self._write_branches(adapter, model.graph, folder / BRANCHES_FILE)
        refer_to(stored, model.graph)
        onnx.save(model, decoder)

    def _write_branches(
        self, adapter: Adapter | None, decoder_graph: onnx.GraphProto, file: Path
    ) -> StoredWeights:
        """The graphs for histories, many paths and rows with events (`export.branches`)."""
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.onnx"

            def paths(adapter: Adapter | None) -> onnx.ModelProto:
                self.write_steps(adapter, part, shared_prefix=True)
                return onnx.load(part)

            def history(adapter: Adapter | None) -> onnx.ModelProto:
                self.write_history(adapter, part)
                return onnx.load(part)

            def decoder(adapter: Adapter) -> onnx.ModelProto:
                self.write_steps(adapter, part, shared_prefix=False)
                return onnx.load(part)

            branches = Branches(history(None), paths(None))
            if adapter is not None:
                branches = Branches(
                    branches.history, branches.paths, history(adapter), paths(adapter), decoder(adapter)
                )
            return join_branches(branches, decoder_graph, file)

    def _graph(self, adapter: Adapter | None) -> DecoderGraph:
        # A copy: the graph shares modules with the decoder, and casting them would cast the reference too.
        decoder, layout = copy.deepcopy(self.decoder), layout_of(self.precision)
        graph = DecoderGraph(decoder, self.max_context, adapter, layout, self.scales)
        return graph.to(self.dtype).eval()

    def write_steps(self, adapter: Adapter | None, file: Path, *, shared_prefix: bool) -> None:
        """Write `DecoderGraph`, for rows behind prefixes that they share, or with a cache each."""
        rows = torch.export.Dim("rows")
        count = HISTORIES * ROWS if shared_prefix else ROWS
        inputs = self._row_inputs(count, {0: rows}) + _draw_inputs(count, {0: rows})
        if adapter is not None:
            inputs.append(_gate(count, {0: rows}, self.dtype))
        names, examples, axes = (list(column) for column in zip(*inputs, strict=True))
        cache_names = self._cache_names()
        prefix_names = [f"prefix_{name}" for name in cache_names] if shared_prefix else []
        prefix = self._cache_examples(HISTORIES, 6) if shared_prefix else []
        prefix_axes = {0: torch.export.Dim("histories"), 2: torch.export.Dim("prefix")}
        export_module(
            _CachesByName(self._graph(adapter), adapter is not None),
            (examples, self._cache_examples(count, 4), prefix),
            [*names, *(f"past_{name}" for name in cache_names), *prefix_names],
            ["next_s1", "next_s2", "s1_logits", "s2_logits", *(f"present_{name}" for name in cache_names)],
            (
                axes,
                [{0: rows, 2: torch.export.Dim("capacity")}] * len(cache_names),
                [prefix_axes] * len(prefix_names),
            ),
            file,
        )
        self._finish(file, whole_steps=not shared_prefix)

    def write_history(self, adapter: Adapter | None, file: Path) -> None:
        """Write `HistoryGraph`."""
        inputs = self._row_inputs(1, {})
        if adapter is not None:
            inputs.append(_gate(1, {}, self.dtype))
        names, examples, axes = (list(column) for column in zip(*inputs, strict=True))
        outputs = [f"present_{name}" for name in self._cache_names()]
        graph = _InputsAsList(HistoryGraph(self._graph(adapter)))
        export_module(graph, (examples,), names, outputs, (axes,), file)
        self._finish(file)

    def _finish(self, file: Path, *, whole_steps: bool = False) -> None:
        model = onnx.load(file)
        if self.precision == "int8":
            to_int8(model, self._exact_weights())
        if self.dtype == torch.float32:
            name_products(model, whole_steps=whole_steps)
            join_biases(model)
        head_dim = self.decoder.config.head_dim
        add_functions(model, Sizes(self.max_context, head_dim, head_padding(head_dim)))
        onnx.save(model, file)

    def _exact_weights(self) -> list[NDArray[np.float32]]:
        """Return the weights (K, N) whose products stay float32 in an 8-bit bundle.

        A value that is no number is lost in a product of integers. These layers see every hidden state and
        make the logits: such a value reaches them, and no token is drawn.
        """
        attention, head = self.decoder.dep_layer.cross_attn, self.decoder.head
        keys_values = torch.cat([attention.k_proj.weight, attention.v_proj.weight])
        layers = (attention.q_proj, attention.out_proj, head.proj_s1, head.proj_s2)
        weights = [keys_values, *(layer.weight for layer in layers)]
        return [weight.detach().T.contiguous().numpy() for weight in weights]

    def _row_inputs(self, count: int, rows: dict[int, Any]) -> list[Input]:
        """Return the inputs of every graph: tokens, and what is added to their embeddings."""
        # Three tensors, not one used three times: torch.export takes one object given twice for one input.
        s1, s2, position = (torch.zeros(count, TOKENS, dtype=torch.int64) for _ in range(3))
        axes = rows | {1: torch.export.Dim("length")}
        width = self.decoder.config.d_model
        conditioning = torch.zeros(5, width, dtype=self.dtype)
        return [
            ("s1", s1, axes),
            ("s2", s2, axes),
            ("position", position, axes),
            ("conditioning", conditioning, {0: torch.export.Dim("candles")}),
        ]

    def _cache_names(self) -> list[str]:
        return [f"{kind}.{i}" for i in range(len(self.layouts)) for kind in ("key", "value")]

    def _cache_examples(self, rows: int, tokens: int) -> list[Tensor]:
        """Return a key and a value cache of every layer."""
        return [
            torch.zeros(
                (rows, layout.heads, tokens, layout.head_dim),
                dtype=torch.int8 if layout.dtype == EIGHT_BITS else self.dtype,
            )
            for layout in self.layouts
            for _ in range(2)
        ]


def _draw_inputs(count: int, rows: dict[int, Any]) -> list[Input]:
    """Return the inputs of a graph that draws tokens: lengths of the caches, and how rows draw."""
    return [
        ("last_index", torch.full((count, 1), TOKENS - 1), rows),
        ("seqlens_k", torch.full((count,), TOKENS - 1, dtype=torch.int32), rows),
        ("total_sequence_length", torch.tensor([TOKENS], dtype=torch.int32), {}),
        ("uniform", torch.rand(count, 2), rows),
        ("temperature", torch.ones(count, 1), rows),
        ("top_k", torch.zeros(count, 1, dtype=torch.int64), rows),
        ("top_p", torch.ones(count, 1), rows),
    ]


def _gate(count: int, rows: dict[int, Any], dtype: torch.dtype) -> Input:
    return "adapter_gate", torch.ones(count, 1, 1, dtype=dtype), rows
