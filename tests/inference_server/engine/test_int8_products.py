"""Processors whose products of 8-bit integers saturate are refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.int8 import write_probe
from inference_server.engine.device import CpuDevice, DeviceError
from inference_server.engine.int8_products import check_int8_products


def saturating(model: onnx.ModelProto) -> None:
    """Clip the product as sums in 16 bits would."""
    model.graph.node[0].output[0] = "sum"
    for name, bound in (("low", -(2**15)), ("high", 2**15 - 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(bound, np.int32), name))
    model.graph.node.append(helper.make_node("Clip", ["sum", "low", "high"], ["product"]))


@pytest.mark.parametrize("exact", [True, False])
def test_a_processor_that_saturates_is_refused(exact: bool, tmp_path: Path) -> None:
    file = tmp_path / "int8_probe.onnx"
    write_probe(file)
    model = onnx.load(file)
    if not exact:
        saturating(model)
    onnx.save(model, file)
    probe = CpuDevice(1).session(file)
    if exact:
        check_int8_products(probe)
        return
    with pytest.raises(DeviceError, match=r"no VNNI instructions .* Export with --precision fp32"):
        check_int8_products(probe)
