"""Verification refuses whatever differs from torch, or is no number, wherever in the context it stands."""

import math
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from export.errors import ParityError
from export.half import LARGEST_HALF, half_figures
from export.model.checkpoint import Checkpoint
from export.model.event_encoder import EventEncoder
from export.parity import largest, logit_figures
from export.verify_decoder import TOLERANCE, verify_decoder
from export.verify_tokenizer import verify_tokenizer
from inference_server.engine.bundle import BRANCHES_FILE, DECODER_FILE
from tests.helpers.bundles import random_events
from tests.helpers.onnx_graphs import graphs_of

CONTEXT = 512  # of the tiny bundles

Edit = Callable[[onnx.ModelProto], None]


def edited(bundle: Path, folder: Path, file: str, edit: Edit) -> Path:
    """A copy of a bundle with one of its graphs changed."""
    copy = Path(shutil.copytree(bundle, folder / "edited"))
    model = onnx.load(copy / file)
    edit(model)
    onnx.save(model, copy / file)
    return copy


def tables(model: onnx.ModelProto, ending: str) -> list[onnx.TensorProto]:
    found = [
        tensor
        for graph in graphs_of(model.graph)
        for tensor in graph.initializer
        if tensor.name.endswith(ending)
    ]
    assert found
    return found


def set_values(tensor: onnx.TensorProto, rows: slice, value: float) -> None:
    values = numpy_helper.to_array(tensor).copy()
    values[rows] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def nan_in_the_second_head(model: onnx.ModelProto) -> None:
    set_values(tables(model, "proj_s2.bias")[0], slice(5, 6), math.nan)


def no_rotation_late(model: onnx.ModelProto) -> None:
    """Positions from 300 on stand as if they were the first."""
    for name, value in ((".cos", 1.0), (".sin", 0.0)):
        for table in tables(model, name):
            set_values(table, slice(300, None), value)


def nothing_hidden(model: onnx.ModelProto) -> None:
    """Tokens that are taken in at once see those after them."""
    for graph in graphs_of(model.graph):
        for node in graph.node:
            if node.op_type == "Greater":
                node.op_type = "Less"


def last_index_of_the_longest_row(model: onnx.ModelProto) -> None:
    """Every row takes what stands at the longest row's last column: right where all are as long."""
    for node in model.graph.node:
        node.input[:] = ["longest" if name == "last_index" else name for name in node.input]
    rows = helper.make_node("Shape", ["last_index"], ["shape_of_last_index"])
    over = helper.make_node("ReduceMax", ["last_index"], ["largest_index"], keepdims=1)
    spread = helper.make_node("Expand", ["largest_index", "shape_of_last_index"], ["longest"])
    for node in (spread, over, rows):
        model.graph.node.insert(0, node)


@pytest.mark.parametrize(
    ("file", "edit", "named"),
    [
        (DECODER_FILE, nan_in_the_second_head, "s2_logits_prefill is nan"),
        (BRANCHES_FILE, nan_in_the_second_head, "s2_logits_shared is nan"),
        (DECODER_FILE, no_rotation_late, "_end is"),
        (BRANCHES_FILE, no_rotation_late, "_shared_end is"),
        (BRANCHES_FILE, nothing_hidden, "_window is|_shared"),
        (DECODER_FILE, last_index_of_the_longest_row, "_uneven is"),
    ],
)
def test_a_graph_that_is_wrong_in_one_place_is_refused(
    tiny_base_bundle: Path, tiny_checkpoint: Checkpoint, tmp_path: Path, file: str, edit: Edit, named: str
) -> None:
    folder = edited(tiny_base_bundle, tmp_path, file, edit)
    with pytest.raises(ParityError, match=named):
        verify_decoder(folder, tiny_checkpoint.decoder, None, None, "fp32", CONTEXT)


def test_every_comparison_is_a_small_number(tiny_base_bundle: Path, tiny_checkpoint: Checkpoint) -> None:
    figures = verify_decoder(tiny_base_bundle, tiny_checkpoint.decoder, None, None, "fp32", CONTEXT)
    comparisons = ("prefill", "step", "uneven", "shared", "window", "middle", "end", "shared_end")
    assert set(figures) == {f"{head}_logits_{name}" for head in ("s1", "s2") for name in comparisons}
    assert 0 < largest(figures)[1] < TOLERANCE["fp32"] / 10


def test_the_encoder_of_events_is_held_to_float32(tiny_bundle: Path, tiny_checkpoint: Checkpoint) -> None:
    """Whatever the decoder's precision: a logit's tolerance is no measure of it."""
    other = EventEncoder(tiny_checkpoint.decoder.config.d_model)
    other.load_state_dict(random_events(tiny_checkpoint.decoder.config.d_model).encoder.state_dict())
    with torch.no_grad():
        other.proj.bias.add_(5e-4)
    with pytest.raises(ParityError, match=r"EventEncoder differs from torch by \d"):
        verify_decoder(tiny_bundle, tiny_checkpoint.decoder, None, other, "fp32", CONTEXT)


def test_a_tokenizer_of_nan_is_refused(tiny_base_bundle: Path, tiny_checkpoint: Checkpoint) -> None:
    broken = deepcopy(tiny_checkpoint.tokenizer)
    with torch.no_grad():
        broken.quant_embed.bias[3] = math.nan
    with pytest.raises(ParityError, match="no number"):
        verify_tokenizer(tiny_base_bundle, broken, CONTEXT)


def test_another_tokenizer_is_refused(tiny_base_bundle: Path, tiny_checkpoint: Checkpoint) -> None:
    other = deepcopy(tiny_checkpoint.tokenizer)
    with torch.no_grad():
        other.quant_embed.bias[3] += 0.5
    with pytest.raises(ParityError, match="tokenizer differs"):
        verify_tokenizer(tiny_base_bundle, other, CONTEXT)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_the_largest_wherever_it_stands(place: int) -> None:
    figures = dict.fromkeys("abc", 10.0)
    name = "abc"[place]
    figures[name] = math.nan
    assert largest(figures)[0] == name
    assert np.isnan(largest(figures)[1])


def test_the_largest_of_numbers_is_the_largest() -> None:
    figures = {"s1_logits_a": 0.1, "s2_logits_b": 0.3, "tokenizer_decode": 9.0}
    assert largest(logit_figures(figures)) == ("s2_logits_b", 0.3)


def half_of(checkpoint: Checkpoint, change: Callable[[torch.nn.Module], None]) -> dict[str, float]:
    """The figures of half precision of a changed decoder over 60 tokens."""
    decoder = deepcopy(checkpoint.decoder)
    with torch.no_grad():
        change(decoder)
    s1 = torch.arange(60)[None] * 17 % 1024
    return half_figures(decoder, s1, s1 * 3 % 1024, torch.ones(1, 60, 5, dtype=torch.int64), None)


def test_half_precision_of_an_ordinary_decoder(tiny_checkpoint: Checkpoint) -> None:
    figures = half_of(tiny_checkpoint, lambda decoder: None)
    for name in ("s1_logits_half", "s2_logits_half"):
        assert 1e-5 < figures[name] < TOLERANCE["fp16"]
    assert 1 < figures["largest_activation"] < LARGEST_HALF


def huge_output(decoder: torch.nn.Module) -> None:
    """Harmless in float32: a norm follows."""
    decoder.get_parameter("dep_layer.cross_attn.out_proj.weight").mul_(1e6)


def huge_scores(decoder: torch.nn.Module) -> None:
    """Queries and keys fit, their products don't."""
    for name in ("q_proj", "k_proj"):
        decoder.get_parameter(f"transformer.1.self_attn.{name}.weight").mul_(300)


def nan_weight(decoder: torch.nn.Module) -> None:
    decoder.get_parameter("transformer.0.ffn.w1.weight")[0, 0] = math.nan


@pytest.mark.parametrize("change", [huge_output, huge_scores, nan_weight])
def test_what_half_precision_can_not_hold_is_refused(
    tiny_checkpoint: Checkpoint, change: Callable[[torch.nn.Module], None]
) -> None:
    with pytest.raises(ParityError, match="float16 ends at 65504"):
        half_of(tiny_checkpoint, change)
