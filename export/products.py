"""Names the products of a graph that the server has a kernel of its own for."""

from onnx import ModelProto, helper

from export.functions import DOMAIN, PRODUCT

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
