import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.accuracy.errors import AccuracyError
from export.accuracy.measure import Effort, measure
from export.accuracy.windows import Shape
from export.functions import BIASED_PRODUCT
from inference_server.engine.bundle import (
    BRANCHES_FILE,
    DECODER_FILE,
    MANIFEST_FILE,
    content_version,
    file_entry,
    load_manifest,
)
from tests.helpers.candle_series import walk
from tests.helpers.onnx_graphs import graphs_of

SERIES = [walk("BTC-USD", 120), walk("EURUSD", 120, seed=1), walk("SPY", 120, seed=2)]
EFFORT = Effort(Shape(32, 3), paths=16, windows=15)


def with_heads_times(bundle: Path, out: Path, factor: float) -> Path:
    """Copy a bundle with all logits multiplied: sharper or flatter probabilities."""
    shutil.copytree(bundle, out)
    for name in (DECODER_FILE, BRANCHES_FILE):
        model = onnx.load(out / name)
        for graph in graphs_of(model.graph):
            outputs = [v.name for v in graph.output if v.name.endswith(("s1_logits", "s2_logits"))]
            heads = {name for output in outputs for name in _constants_before(graph, output)}
            for tensor in graph.initializer:
                if tensor.name in heads:
                    values = numpy_helper.to_array(tensor) * np.float32(factor)
                    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        onnx.save(model, out / name)
    files = {f.name: file_entry(f) for f in sorted(out.iterdir()) if f.name != MANIFEST_FILE}
    manifest = msgspec.structs.replace(load_manifest(bundle), files=files, version=content_version(files))
    (out / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    return out


def _constants_before(graph: onnx.GraphProto, value: str) -> list[str]:
    """Return the weight and the bias of the product that a value is made of; none of a branch's output."""
    producers = {output: node for node in graph.node for output in node.output}
    node = producers[value]
    while node.op_type != BIASED_PRODUCT.name:
        if node.op_type in {"If", "Constant"}:
            return []
        node = producers[node.input[0]]
    return list(node.input[1:])


def test_a_bundle_loses_nothing_against_itself(tiny_base_bundle: Path) -> None:
    accuracy = measure(tiny_base_bundle, tiny_base_bundle, SERIES, "walks", EFFORT)
    for change in (accuracy.nll, accuracy.nll_s1, accuracy.nll_s2, accuracy.crps, accuracy.width):
        assert (change.percent, change.low, change.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert (accuracy.same_s1, accuracy.same_s2) == (1, 1)
    assert accuracy.effective_paths == pytest.approx(16)
    assert accuracy.windows == {"crypto": 5, "equity": 5, "fx": 5}
    assert (accuracy.blocks, accuracy.data) == (3, "walks")


def test_sharper_probabilities_are_less_likely_to_be_right(tiny_base_bundle: Path, tmp_path: Path) -> None:
    """The weights are random: whatever the model is sure of is wrong, and the order of tokens stays."""
    sharper = with_heads_times(tiny_base_bundle, tmp_path / "sharper", 1.05)
    accuracy = measure(tiny_base_bundle, sharper, SERIES, "walks", EFFORT)
    assert 0 < accuracy.nll.low < accuracy.nll.percent < accuracy.nll.high
    assert accuracy.nll_s1.percent > 0
    assert accuracy.same_s1 == 1
    assert accuracy.crps.percent != 0
    assert accuracy.width.percent != 0
    assert 4 < accuracy.effective_paths < 16


def test_a_bundle_that_gives_no_numbers_is_refused(tiny_base_bundle: Path, tmp_path: Path) -> None:
    broken = with_heads_times(tiny_base_bundle, tmp_path / "broken", np.nan)
    with pytest.raises(AccuracyError, match="no numbers"):
        measure(tiny_base_bundle, broken, SERIES, "walks", EFFORT)
