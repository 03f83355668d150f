"""Names the products of a graph that the server has a kernel of its own for, and joins biases to them."""

from collections import Counter

from onnx import ModelProto, helper

from export.functions import BIASED_INT8_PRODUCT, BIASED_PRODUCT, DOMAIN, INT8_PRODUCT, PRODUCT

BIASED = {PRODUCT.name: BIASED_PRODUCT.name, INT8_PRODUCT.name: BIASED_INT8_PRODUCT.name}

# Narrower weights stay as they are: the products of an adapter's updates.
NARROWEST = 32


def name_products(model: ModelProto, *, whole_steps: bool) -> None:
    """Make the products of activations and a constant weight (K, N) `Product` nodes, in place.

    Parameters
    ----------
    model
        Changed in place.
    whole_steps
        For a graph that mostly steps single rows: the fastest kernel for them is another one than for many.
    """
    weights = {
        tensor.name
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and min(tensor.dims) >= NARROWEST
    }
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            product = helper.make_node(PRODUCT.name, node.input, node.output, node.name, domain=DOMAIN)
            product.attribute.append(helper.make_attribute("whole_steps", int(whole_steps)))
            node.CopyFrom(product)


def join_biases(model: ModelProto) -> None:
    """Let products add the bias that is added to nothing but their result, in place."""
    graph = model.graph
    vectors = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 1}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    products = {
        node.output[0]: node for node in graph.node if node.domain == DOMAIN and node.op_type in BIASED
    }
    for node in list(graph.node):
        if node.op_type != "Add":
            continue
        for product, bias in (tuple(node.input), tuple(reversed(node.input))):
            if product in products and uses[product] == 1 and bias in vectors:
                biased = products[product]
                biased.op_type = BIASED[biased.op_type]
                biased.input.append(bias)
                biased.output[0] = node.output[0]
                graph.node.remove(node)
                break
