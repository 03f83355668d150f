"""One graph with several decoder graphs as its branches, so that one session holds their weights once.

ONNX Runtime packs the weights of every session anew, but of one session weights of equal content once, in
branches of an `If` as well. It looks for them in a branch's own initializers and one level up, no further, so
each branch lists the weights of its products, and all lists point to the same bytes of one data file. ONNX
Runtime maps that file and, once it has packed the weights, reads it no more: its pages count as resident, but
the system may drop them. Other large tensors, which are read as they are, stand in the outer graph.

Entering a branch costs about 25 microseconds, and half a microsecond for every value that it takes from
outside. `decoder.onnx`, which a request with few paths and without events runs, is therefore a graph of its
own, and small constants stay in the branches.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

# Tensors of at least so many bytes are stored once for all branches.
SHARED_BYTES = 16 << 10
ALIGNMENT = 4096  # of weights in the data file, so that they can be mapped
PRODUCTS = ("MatMul", "Gemm")  # their weights are packed

Content = tuple[int, tuple[int, ...], bytes]


def join_branches(
    plain_paths: ModelProto, adapted_paths: ModelProto, adapted_decoder: ModelProto, file: Path
) -> None:
    """Write a graph that runs one of three graphs of the same decoder, and its weights beside it (`.data`).

    Its inputs are those of the three, and `shared_prefix`, a Boolean: whether the rows share the prefix that
    is given. With it `adapted_paths` runs where a row has `adapter_gate` above 0, else `plain_paths`, whose
    result is the same; without it `adapted_decoder` runs, which takes no prefix.
    """
    graphs = {
        "plain_paths": plain_paths.graph,
        "adapted_paths": adapted_paths.graph,
        "adapted_decoder": adapted_decoder.graph,
    }
    # The decoder's inputs first: they have an axis for the length, which is 1 in the other graphs.
    inputs: dict[str, ValueInfoProto] = {}
    for graph in (adapted_decoder.graph, adapted_paths.graph):
        for value in graph.input:
            inputs.setdefault(value.name, value)
    large = [t for graph in graphs.values() for t in graph.initializer if len(t.raw_data) >= SHARED_BYTES]
    count = Counter(map(_content, large))
    shared = {_content(tensor): tensor for tensor in large if count[_content(tensor)] > 1}
    packed = {key for graph in graphs.values() for key in map(_content, _weights_of_products(graph))}
    data = file.with_suffix(".data")
    stored = _write(data, {key: tensor for key, tensor in shared.items() if key in packed})
    outside = {
        key: _renamed_tensor(tensor, f"shared/{number}")
        for number, (key, tensor) in enumerate(shared.items())
        if key not in packed
    }
    branch = {label: _branch(graph, label, inputs, outside, stored) for label, graph in graphs.items()}
    outputs = list(adapted_decoder.graph.output)
    joined = helper.make_graph(
        [_choose("shared_prefix", _paths(branch), branch["adapted_decoder"], outputs)],
        "branches",
        [*inputs.values(), helper.make_tensor_value_info("shared_prefix", TensorProto.BOOL, [])],
        outputs,
        list(outside.values()),
    )
    model = helper.make_model(
        joined, opset_imports=adapted_decoder.opset_import, ir_version=adapted_decoder.ir_version
    )
    onnx.save(model, file)


def _paths(branch: Mapping[str, GraphProto]) -> GraphProto:
    """The branch for many paths, where one entry more matters least."""
    adapted, plain = branch["adapted_paths"], branch["plain_paths"]
    outputs = [_renamed_value(value, f"paths/{value.name.split('/', 1)[1]}") for value in adapted.output]
    nodes = [
        helper.make_node("ReduceMax", ["adapter_gate"], ["paths/largest_gate"], keepdims=0),
        helper.make_node("Cast", ["paths/largest_gate"], ["paths/any_adapted"], to=TensorProto.BOOL),
        _choose("paths/any_adapted", adapted, plain, outputs),
    ]
    return helper.make_graph(nodes, "paths", [], outputs)


def _choose(
    condition: str, then: GraphProto, otherwise: GraphProto, outputs: Iterable[ValueInfoProto]
) -> NodeProto:
    names = [value.name for value in outputs]
    return helper.make_node(
        "If", [condition], names, f"if_{condition}", then_branch=then, else_branch=otherwise
    )


def _content(tensor: TensorProto) -> Content:
    return tensor.data_type, tuple(tensor.dims), tensor.raw_data


def _weights_of_products(graph: GraphProto) -> list[TensorProto]:
    names = {node.input[1] for node in graph.node if node.op_type in PRODUCTS}
    return [tensor for tensor in graph.initializer if tensor.name in names]


def _write(file: Path, tensors: Mapping[Content, TensorProto]) -> dict[Content, TensorProto]:
    """Write tensors behind each other, and return them as references to the file."""
    stored = {}
    with file.open("wb") as stream:
        for key, tensor in tensors.items():
            stream.write(bytes(-stream.tell() % ALIGNMENT))
            reference = TensorProto(
                data_type=tensor.data_type, dims=tensor.dims, data_location=TensorProto.EXTERNAL
            )
            place = {"location": file.name, "offset": stream.tell(), "length": len(tensor.raw_data)}
            for name, value in place.items():
                reference.external_data.add(key=name, value=str(value))
            stream.write(tensor.raw_data)
            stored[key] = reference
    return stored


def _branch(
    graph: GraphProto,
    label: str,
    inputs: Mapping[str, ValueInfoProto],
    outside: Mapping[Content, TensorProto],
    stored: Mapping[Content, TensorProto],
) -> GraphProto:
    """A graph as a branch: inputs and `outside` tensors are the outer graph's, other names are its own."""
    names = {name: name for name in inputs} | {
        tensor.name: outside[_content(tensor)].name
        for tensor in graph.initializer
        if _content(tensor) in outside
    }

    def renamed(name: str) -> str:
        return names.get(name, f"{label}/{name}") if name else name

    nodes = []
    for source in graph.node:
        node = NodeProto()
        node.CopyFrom(source)
        node.name = f"{label}/{source.name}"
        node.input[:] = [renamed(name) for name in source.input]
        node.output[:] = [renamed(name) for name in source.output]
        nodes.append(node)
    return helper.make_graph(
        nodes,
        label,
        [],
        [_renamed_value(value, renamed(value.name)) for value in graph.output],
        [
            _renamed_tensor(stored.get(_content(tensor), tensor), renamed(tensor.name))
            for tensor in graph.initializer
            if _content(tensor) not in outside
        ],
        value_info=[_renamed_value(value, renamed(value.name)) for value in graph.value_info],
    )


def _renamed_value(value: ValueInfoProto, name: str) -> ValueInfoProto:
    copy = ValueInfoProto()
    copy.CopyFrom(value)
    copy.name = name
    return copy


def _renamed_tensor(tensor: TensorProto, name: str) -> TensorProto:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy
