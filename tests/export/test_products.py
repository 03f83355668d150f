"""Products get their names, and take in the biases that are theirs alone."""

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.functions import BIASED_INT8_PRODUCT, BIASED_PRODUCT, PRODUCT
from export.int8 import to_int8
from export.products import join_biases, name_products

WIDTH = 64


def graph_of(nodes: list[tuple[str, list[str], str]], outputs: list[str]) -> ModelProto:
    """A graph of x (rows, 64), a weight (64, 64), a narrow one (64, 2) and a bias (64,)."""
    constants = {
        "weight": np.eye(WIDTH, dtype=np.float32),
        "narrow": np.ones((WIDTH, 2), np.float32),
        "bias": np.arange(WIDTH, dtype=np.float32),
    }
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTH])
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], output) for kind, inputs, output in nodes],
        "g",
        [x],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def operators(model: ModelProto) -> list[tuple[str, list[str], str]]:
    return [(node.op_type, list(node.input), node.output[0]) for node in model.graph.node]


def test_a_bias_that_is_added_to_a_product_alone_becomes_its_own() -> None:
    for given in (["product", "bias"], ["bias", "product"]):
        model = graph_of([("MatMul", ["x", "weight"], "product"), ("Add", given, "out")], ["out"])
        name_products(model, whole_steps=True)
        join_biases(model)
        assert operators(model) == [(BIASED_PRODUCT.name, ["x", "weight", "bias"], "out")]
        assert helper.get_node_attr_value(model.graph.node[0], "whole_steps") == 1


def test_products_of_8_bits_take_biases_too() -> None:
    model = graph_of([("MatMul", ["x", "weight"], "product"), ("Add", ["product", "bias"], "out")], ["out"])
    to_int8(model)
    name_products(model, whole_steps=False)
    join_biases(model)
    inputs = ["x", "weight.int8", "weight.scale", "bias"]
    assert operators(model) == [(BIASED_INT8_PRODUCT.name, inputs, "out")]


def test_what_something_else_reads_or_what_is_no_constant_stays() -> None:
    nodes = [
        ("MatMul", ["x", "weight"], "read_twice"),
        ("Add", ["read_twice", "bias"], "first"),
        ("Add", ["read_twice", "first"], "second"),
        ("MatMul", ["x", "weight"], "an_output"),
        ("Add", ["an_output", "bias"], "third"),
        ("MatMul", ["x", "weight"], "product"),
        ("Add", ["product", "x"], "fourth"),
        ("MatMul", ["x", "narrow"], "few"),
    ]
    model = graph_of(nodes, ["second", "an_output", "third", "fourth", "few"])
    name_products(model, whole_steps=False)
    join_biases(model)
    named = [
        (PRODUCT.name, inputs, output) if kind == "MatMul" and output != "few" else (kind, inputs, output)
        for kind, inputs, output in nodes
    ]
    assert operators(model) == named
