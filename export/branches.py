"""One graph with several decoder graphs as its branches, so that one session holds their weights once.

ONNX Runtime packs the weights of every session anew, but a weight that several nodes of one session use is
packed once, in branches of an `If` as well. Entering a branch costs about 30 microseconds, most of it for
handing over the values that the branch takes from outside. `decoder.onnx`, which a request with few
paths and without events runs, is therefore a graph of its own, and small constants stay in the branches.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

# Weights of at least so many bytes are shared by the branches.
SHARED_BYTES = 16 << 10


def join_branches(
    plain_paths: ModelProto, adapted_paths: ModelProto, adapted_decoder: ModelProto, file: Path
) -> None:
    """Write a graph that runs one of three graphs of the same decoder.

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
    shared = _shared_weights(graphs.values())
    weights = {name: _renamed_tensor(tensor, name) for name, tensor in shared.values()}
    names = {content: name for content, (name, _) in shared.items()}
    branch = {label: _branch(graph, label, inputs, names) for label, graph in graphs.items()}
    outputs = list(adapted_decoder.graph.output)
    joined = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["adapter_gate"], ["largest_gate"], keepdims=0),
            helper.make_node("Cast", ["largest_gate"], ["any_adapted"], to=TensorProto.BOOL),
            helper.make_node("Not", ["any_adapted"], ["none_adapted"]),
            helper.make_node("And", ["shared_prefix", "none_adapted"], ["runs_plain_paths"]),
            _choose("runs_plain_paths", branch["plain_paths"], _adapted(branch), outputs),
        ],
        "branches",
        [*inputs.values(), helper.make_tensor_value_info("shared_prefix", TensorProto.BOOL, [])],
        outputs,
        list(weights.values()),
    )
    model = helper.make_model(
        joined, opset_imports=adapted_decoder.opset_import, ir_version=adapted_decoder.ir_version
    )
    onnx.save(model, file)


def _adapted(branch: Mapping[str, GraphProto]) -> GraphProto:
    """The branch that chooses between the two adapted graphs."""
    outputs = [
        _renamed_value(v, f"adapted/{v.name.split('/', 1)[1]}") for v in branch["adapted_paths"].output
    ]
    choice = _choose("shared_prefix", branch["adapted_paths"], branch["adapted_decoder"], outputs)
    return helper.make_graph([choice], "adapted", [], outputs)


def _choose(
    condition: str, then: GraphProto, otherwise: GraphProto, outputs: Iterable[ValueInfoProto]
) -> NodeProto:
    names = [value.name for value in outputs]
    return helper.make_node(
        "If", [condition], names, f"if_{condition}", then_branch=then, else_branch=otherwise
    )


def _content(tensor: TensorProto) -> tuple[int, tuple[int, ...], bytes]:
    return tensor.data_type, tuple(tensor.dims), tensor.raw_data


def _shared_weights(
    graphs: Iterable[GraphProto],
) -> dict[tuple[int, tuple[int, ...], bytes], tuple[str, TensorProto]]:
    """Large tensors that more than one graph has, by content, each with a name of its own."""
    found = [
        tensor for graph in graphs for tensor in graph.initializer if len(tensor.raw_data) >= SHARED_BYTES
    ]
    count = Counter(map(_content, found))
    shared = {_content(tensor): tensor for tensor in found if count[_content(tensor)] > 1}
    return {key: (f"weight.{number}", tensor) for number, (key, tensor) in enumerate(shared.items())}


def _branch(
    graph: GraphProto,
    label: str,
    inputs: Mapping[str, ValueInfoProto],
    shared: Mapping[tuple[int, tuple[int, ...], bytes], str],
) -> GraphProto:
    """A graph as a branch: inputs and shared weights come from outside, all other names are its own."""
    outside = {name: name for name in inputs} | {
        tensor.name: shared[_content(tensor)] for tensor in graph.initializer if _content(tensor) in shared
    }

    def renamed(name: str) -> str:
        return outside.get(name, f"{label}/{name}") if name else name

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
        [_renamed_tensor(t, renamed(t.name)) for t in graph.initializer if _content(t) not in shared],
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
