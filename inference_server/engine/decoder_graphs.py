"""Loads the graphs of the decoder, and chooses one for a batch of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from inference_server.engine.bundle import BRANCHES_FILE, DECODER_FILE, Manifest
from inference_server.engine.device import Array, Device, Span, host_span

NUMPY_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}
SELECTORS = ("history", "shared_prefix")


@dataclass(frozen=True)
class DecoderGraph:
    """A session of the decoder, and the inputs that are the same at every run of one of its graphs.

    Attributes
    ----------
    session
        The loaded graph.
    gated
        Whether it takes `adapter_gate`, which says on which rows the adapter acts.
    fixed
        Inputs that choose a branch, and inputs that the branch does not read: a session wants all of them.
    """

    session: ort.InferenceSession
    gated: bool
    fixed: Mapping[str, Span]


class DecoderGraphs:
    """The decoder's sessions.

    On the CPU a batch without events runs `decoder.onnx`, the base model. A batch in which any row has events
    runs the adapted model over the same caches, if there is an adapter; its result for the other rows is the
    same to the bit. Rows behind shared prefixes have a graph of their own, and so have the histories that
    they share. On a GPU `decoder.onnx` does everything.
    """

    def __init__(self, device: Device, folder: Path, manifest: Manifest) -> None:
        decoder = device.session(folder / DECODER_FILE, steady=True, graphs=True)
        branched = BRANCHES_FILE in manifest.files
        self._plain = DecoderGraph(decoder, manifest.has_adapter and not branched, {})
        self._adapted = self._plain
        self.history: DecoderGraph | None = None
        """The graph that makes the caches of a history; None where `decoder.onnx` does."""
        self._paths: DecoderGraph | None = None
        if branched:
            session = device.session(folder / BRANCHES_FILE, steady=True)
            self.history, self._paths, adapted = (
                _branch(session, manifest, history=history, shared_prefix=shared_prefix)
                for history, shared_prefix in ((True, False), (False, True), (False, False))
            )
            if manifest.has_adapter:
                self._adapted = adapted

    @property
    def share_prefixes(self) -> bool:
        """Whether a graph reads prefixes that rows share."""
        return self._paths is not None

    def of(self, *, events: bool, shared_prefix: bool) -> DecoderGraph:
        """Return the graph for a batch of which any row has events, or none has."""
        if shared_prefix:
            assert self._paths is not None
            return self._paths
        return self._adapted if events else self._plain


def _branch(
    session: ort.InferenceSession, manifest: Manifest, *, history: bool, shared_prefix: bool
) -> DecoderGraph:
    """Return one of the graphs of `branches.onnx`."""
    chosen = {"history": history, "shared_prefix": shared_prefix}
    fixed: dict[str, Array] = {}
    for given in session.get_inputs():
        kind = given.name.split("_")[0]
        if given.name in SELECTORS:
            fixed[given.name] = np.array(chosen[given.name])
        elif (kind == "prefix" and not shared_prefix) or (history and given.name not in _OF_HISTORIES):
            fixed[given.name] = unread_input(given)
    spans = {name: host_span(values) for name, values in fixed.items()}
    return DecoderGraph(session, manifest.has_adapter, spans)


_OF_HISTORIES = ("s1", "s2", "position", "conditioning", "adapter_gate")


def unread_input(given: ort.NodeArg) -> Array:
    """Return zeros for an input that no node will read, of the shape that it is declared with."""
    shape: list[Any] = [size if isinstance(size, int) else 1 for size in given.shape]
    return np.zeros(shape, NUMPY_TYPES[given.type])
