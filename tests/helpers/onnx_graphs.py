"""Walks over the graphs of a model."""

from collections.abc import Iterator

import onnx
from onnx import GraphProto


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and every branch in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs_of(attribute.g)
