"""One graph with several decoder graphs as its branches, so that one session holds their weights once.

ONNX Runtime packs the weights of every session anew, but of one session weights of equal content once, in
branches of an `If` as well. It looks for them in a branch's own initializers and one level up, no further, so
each branch lists the weights of its products, and all lists point to the same bytes of one data file, as
`decoder.onnx` does. The server's own products, where it has them, pack each weight once for all sessions.
ONNX Runtime maps that file and, once it has packed the weights, reads it no more: its pages count as
resident, but the system may drop them. Other large tensors, which are read as they are, stand in the outer
graph.

Entering a branch costs about 25 microseconds, and half a microsecond for every value that it takes from
outside. `decoder.onnx`, which a request with few paths and without events runs, is therefore a graph of its
own, and small constants stay in the branches.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from export.products import BIASED

# Tensors of at least so many bytes are stored once for all branches.
SHARED_BYTES = 16 << 10
ALIGNMENT = 4096  # of weights in the data file, so that they can be mapped
PRODUCTS = ("MatMul", "Gemm", *BIASED, *BIASED.values())  # their weights are packed

Content = tuple[int, tuple[int, ...], bytes]
StoredWeights = Mapping[Content, TensorProto]
"""References to weights in a data file, by their contents."""


@dataclass(frozen=True)
class Branches:
    """The graphs of one decoder that `branches.onnx` joins.

    `history` gives the caches of a history, `paths` draws for rows behind prefixes that they share, both for
    rows without events. A bundle with an adapter has both for rows with events too, and `adapted_decoder`,
    which draws for rows with a cache of each one's own.
    """

    history: ModelProto
    paths: ModelProto
    adapted_history: ModelProto | None = None
    adapted_paths: ModelProto | None = None
    adapted_decoder: ModelProto | None = None

    def by_label(self) -> dict[str, ModelProto]:
        """The graphs that there are, by their names."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {label: model for label, model in fields.items() if model is not None}


def join_branches(branches: Branches, decoder: GraphProto, file: Path) -> StoredWeights:
    """Write a graph that runs one of several graphs of the same decoder, and its weights beside it (`.data`).

    The weights of `decoder.onnx` come first there, so that their places do not depend on an adapter. Returns
    what is stored.

    Its inputs are those of all, and two Booleans: with `history` the history's caches are made; else with
    `shared_prefix` the rows share the prefixes that are given; without both `adapted_decoder` runs. A graph
    of an adapter runs where a row has `adapter_gate` above 0, else the one without, whose result is the same.
    """
    models = branches.by_label()
    graphs = {label: model.graph for label, model in models.items()}
    outputs = _named(value for label in ("paths", "history") for value in graphs[label].output)
    graphs = {label: _with_outputs(graph, outputs) for label, graph in graphs.items()}
    inputs: dict[str, ValueInfoProto] = {}
    for label in ("adapted_decoder", "adapted_paths", "paths", "history"):
        if label in graphs:
            for value in graphs[label].input:
                inputs.setdefault(value.name, value)
    count = Counter(key for graph in graphs.values() for key in _large(graph))
    tensors = _large(decoder)
    for graph in graphs.values():
        tensors |= {key: tensor for key, tensor in _large(graph).items() if key not in tensors}
    packed = {
        key for graph in (decoder, *graphs.values()) for key in map(_content, _weights_of_products(graph))
    }
    in_decoder = _large(decoder).keys()
    data = file.with_suffix(".data")
    stored = _write(
        data, {key: t for key, t in tensors.items() if key in packed and count[key] + (key in in_decoder) > 1}
    )
    outside = {
        key: _renamed_tensor(tensor, f"shared/{number}/{tensor.name}")
        for number, (key, tensor) in enumerate(tensors.items())
        if key not in packed and count[key] > 1
    }
    parts = {label: _branch(graph, label, inputs, outside, stored) for label, graph in graphs.items()}
    history = _where_adapted("history", parts)
    paths = _where_adapted("paths", parts)
    selectors = ["history"]
    otherwise = paths
    if "adapted_decoder" in parts:
        selectors.append("shared_prefix")
        otherwise = _nested("drawing", "shared_prefix", paths, parts["adapted_decoder"])
    joined = helper.make_graph(
        [_choose("history", history, otherwise, outputs)],
        "branches",
        [
            *inputs.values(),
            *(helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in selectors),
        ],
        outputs,
        list(outside.values()),
    )
    main = branches.paths
    model = helper.make_model(
        joined,
        opset_imports=main.opset_import,
        ir_version=main.ir_version,
        functions=list({f.name: f for model in models.values() for f in model.functions}.values()),
    )
    onnx.save(model, file)
    return stored


def refer_to(stored: StoredWeights, graph: GraphProto) -> None:
    """Replace weights of a graph that are stored in a data file by references to it."""
    for tensor in graph.initializer:
        if _content(tensor) in stored:
            name = tensor.name
            tensor.CopyFrom(stored[_content(tensor)])
            tensor.name = name


def _named(values: Iterable[ValueInfoProto]) -> list[ValueInfoProto]:
    """Return values without those whose name another one has before."""
    named: dict[str, ValueInfoProto] = {}
    for value in values:
        named.setdefault(value.name, value)
    return list(named.values())


def _with_outputs(graph: GraphProto, outputs: Sequence[ValueInfoProto]) -> GraphProto:
    """Return a graph with an empty value for each output that only other branches have."""
    whole = GraphProto()
    whole.CopyFrom(graph)
    own = {value.name: value for value in graph.output}
    del whole.output[:]
    for value in outputs:
        if value.name in own:
            whole.output.append(own[value.name])
            continue
        kind = value.type.tensor_type.elem_type
        empty = helper.make_tensor("", kind, [0, 1], b"", raw=True)
        whole.node.append(helper.make_node("Constant", [], [value.name], f"no_{value.name}", value=empty))
        whole.output.append(helper.make_tensor_value_info(value.name, kind, ["none", 1]))
    return whole


def _where_adapted(label: str, parts: Mapping[str, GraphProto]) -> GraphProto:
    """A branch with two of its own, the adapted graph and the plain one, where there are both."""
    plain, adapted = parts[label], parts.get(f"adapted_{label}")
    if adapted is None:
        return plain
    either = f"either_{label}"
    largest, condition = f"{either}/largest_gate", f"{either}/any_adapted"
    whole = _nested(either, condition, adapted, plain)
    whole.node.insert(0, helper.make_node("Cast", [largest], [condition], to=TensorProto.BOOL))
    whole.node.insert(0, helper.make_node("ReduceMax", ["adapter_gate"], [largest], keepdims=0))
    return whole


def _nested(label: str, condition: str, then: GraphProto, otherwise: GraphProto) -> GraphProto:
    """A branch that has two branches; its outputs have names of its own."""
    outputs = [_renamed_value(value, f"{label}/{value.name.rsplit('/', 1)[1]}") for value in then.output]
    return helper.make_graph([_choose(condition, then, otherwise, outputs)], label, [], outputs)


def _choose(
    condition: str, then: GraphProto, otherwise: GraphProto, outputs: Iterable[ValueInfoProto]
) -> NodeProto:
    names = [value.name for value in outputs]
    return helper.make_node(
        "If", [condition], names, f"if_{condition}", then_branch=then, else_branch=otherwise
    )


def _content(tensor: TensorProto) -> Content:
    return tensor.data_type, tuple(tensor.dims), tensor.raw_data


def _large(graph: GraphProto) -> dict[Content, TensorProto]:
    """The large tensors of a graph by their contents, each once."""
    return {_content(tensor): tensor for tensor in graph.initializer if len(tensor.raw_data) >= SHARED_BYTES}


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
