"""Products of activations with weights: their operators, their sizes, and this machine's rates."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

from export import functions
from export.attention_bodies import Sizes
from inference_server.engine import native_operators

# Operators of ONNX, of ONNX Runtime and of this project that multiply with a matrix of weights.
WEIGHT_OPERATORS: Final = frozenset(
    {
        "DynamicQuantizeMatMul",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "MatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QGemm",
        "QLinearMatMul",
    }
) | {name for name in functions.OPERATORS if "Product" in name}
OWN_ATTENTION: Final = frozenset(name for name in functions.OPERATORS if "Attention" in name)
# They take a few rows of their matrices; a product takes all of them.
_LOOKUPS: Final = frozenset({"Gather", "GroupQueryAttention", "RotaryEmbedding"}) | OWN_ATTENTION
# Columns of the matrix that is timed: enough that starting the threads does not count.
COLUMNS: Final = 4096
_BLOCK: Final = 128
_REPEATS: Final = 7
_SHORTEST_S: Final = 0.03
_DOMAIN: Final = "com.microsoft"


def weights_of(graph: Path) -> tuple[int, int]:
    """Return how many weights a graph multiplies with, and their bytes: all but tables for lookups."""
    model = onnx.load(str(graph), load_external_data=False).graph
    tables = {name for node in model.node if node.op_type in _LOOKUPS for name in node.input}
    counts = [
        (int(np.prod(each.dims)), each.data_type)
        for each in model.initializer
        if sum(size > 1 for size in each.dims) >= 2 and each.name not in tables
    ]
    return (
        sum(count for count, _ in counts),
        sum(count * helper.tensor_dtype_to_np_dtype(kind).itemsize for count, kind in counts),
    )


def rates(rows: int, width: int) -> dict[str, float]:
    """Return operations a second of each operator, for so many rows of `width` times a matrix of weights.

    A multiplication and an addition count as two operations.
    """
    operations = 2 * rows * width * COLUMNS
    return {name: operations / _seconds(product(name, rows, width)) for name in _GRAPHS}


def read_bandwidth(nbytes: int) -> float:
    """Return bytes a second at which all cores together read a block of this size again and again.

    A block as large as a model's weights: where the processor's cache holds it, it holds the weights as well.
    """
    block = torch.ones(nbytes // 4)
    return nbytes / _seconds(block.sum)


def _seconds(run: Callable[[], Any]) -> float:
    """Return the median seconds of a run; short runs are timed together."""
    run()
    start = time.perf_counter()
    run()
    count = max(1, int(_SHORTEST_S / (time.perf_counter() - start)))
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        for _ in range(count):
            run()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times)


def product(operator: str, rows: int, width: int) -> Callable[[], Any]:
    """Return a call that multiplies (rows, width) with (width, COLUMNS) by one operator."""
    nodes, constants, kind = _GRAPHS[operator](np.random.default_rng(0), width)
    values = np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32)
    given = (values * 30 + 128).clip(0, 255).astype(np.uint8) if kind == TensorProto.UINT8 else values
    graph = helper.make_graph(
        nodes,
        operator,
        [helper.make_tensor_value_info("x", kind, [rows, width])],
        [helper.make_tensor_value_info("y", _result(operator), [rows, COLUMNS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    functions.add_functions(model, Sizes(rows, head_dim=64))
    options = ort.SessionOptions()
    native_operators.register(options)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", given)
    out = np.empty((rows, COLUMNS), helper.tensor_dtype_to_np_dtype(_result(operator)))
    binding.bind_output("y", "cpu", 0, out.dtype, out.shape, out.ctypes.data)
    kept = (given, out)  # the binding has their addresses only

    def run() -> Any:
        session.run_with_iobinding(binding)
        return kept

    return run


def _result(operator: str) -> int:
    return int(TensorProto.INT32 if operator == "MatMulInteger" else TensorProto.FLOAT)


def _matmul(random: np.random.Generator, width: int) -> Any:
    weights = random.normal(size=(width, COLUMNS)).astype(np.float32)
    return [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, TensorProto.FLOAT


def _matmul_integer(random: np.random.Generator, width: int) -> Any:
    # Unsigned activations around 128: with signed ones the same operator is many times slower on x86.
    constants = {
        "w": random.integers(-127, 128, (width, COLUMNS)).astype(np.int8),
        "zero": np.array(128, np.uint8),
    }
    return [helper.make_node("MatMulInteger", ["x", "w", "zero"], ["y"])], constants, TensorProto.UINT8


def _dynamic_quantize_matmul(random: np.random.Generator, width: int) -> Any:
    constants = {
        "w": random.integers(-127, 128, (width, COLUMNS)).astype(np.int8),
        "scale": np.full(COLUMNS, 0.01, np.float32),
    }
    node = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "scale"], ["y"], domain=_DOMAIN)
    return [node], constants, TensorProto.FLOAT


def _matmul_nbits(random: np.random.Generator, width: int) -> Any:
    blocks = -(-width // _BLOCK)
    constants = {
        "w": random.integers(0, 256, (COLUMNS, blocks, _BLOCK)).astype(np.uint8),
        "scales": np.full(COLUMNS * blocks, 0.01, np.float32),
    }
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "scales"],
        ["y"],
        domain=_DOMAIN,
        K=width,
        N=COLUMNS,
        bits=8,
        block_size=_BLOCK,
        accuracy_level=4,
    )
    return [node], constants, TensorProto.FLOAT


def _own_product(random: np.random.Generator, width: int) -> Any:
    weights = random.normal(size=(width, COLUMNS)).astype(np.float32)
    domain = functions.DOMAIN
    node = helper.make_node(functions.PRODUCT.name, ["x", "w"], ["y"], domain=domain, whole_steps=0)
    return [node], {"w": weights}, TensorProto.FLOAT


def _own_int8_product(random: np.random.Generator, width: int) -> Any:
    constants = {
        "w": random.integers(-127, 128, (width, COLUMNS)).astype(np.int8),
        "scale": np.full(COLUMNS, 0.01, np.float32),
    }
    node = helper.make_node(functions.INT8_PRODUCT.name, ["x", "w", "scale"], ["y"], domain=functions.DOMAIN)
    return [node], constants, TensorProto.FLOAT


_GRAPHS: Final[dict[str, Callable[[np.random.Generator, int], Any]]] = {
    "MatMul": _matmul,
    "Product": _own_product,
    "Int8Product": _own_int8_product,
    "MatMulInteger": _matmul_integer,
    "MatMulNBits": _matmul_nbits,
    "DynamicQuantizeMatMul": _dynamic_quantize_matmul,
}
OPERATORS: Final = tuple(_GRAPHS)
FLOAT_OPERATORS: Final = ("MatMul", "Product")
