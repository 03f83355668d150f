"""Loads the graphs of the decoder, and chooses one for a batch of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from inference_server.engine.bundle import BRANCHES_FILE, DECODER_FILE, PATHS_FILE, Manifest
from inference_server.engine.device import Device, Span, host_span


@dataclass(frozen=True)
class DecoderGraph:
    """A session of the decoder, and the inputs that only its graph has.

    Attributes
    ----------
    session
        The loaded graph.
    gated
        Whether it takes `adapter_gate`, which says on which rows the adapter acts.
    fixed
        Inputs that are the same at every run.
    """

    session: ort.InferenceSession
    gated: bool
    fixed: Mapping[str, Span]


class DecoderGraphs:
    """The decoder's sessions.

    Where the adapter is in a file of its own (`branches.onnx`), a batch without events runs the base model. A
    batch in which any row has events runs the adapted model over the same caches; its result for the other
    rows is the same to the bit.
    """

    def __init__(self, device: Device, folder: Path, manifest: Manifest) -> None:
        decoder = device.session(folder / DECODER_FILE, steady=True, graphs=True)
        paths: DecoderGraph | None = None
        if BRANCHES_FILE in manifest.files:
            branches = device.session(folder / BRANCHES_FILE, steady=True)
            plain = DecoderGraph(decoder, False, {})
            adapted = DecoderGraph(branches, True, _without_prefix(manifest))
            paths = DecoderGraph(branches, True, {"shared_prefix": host_span(np.array(True))})
        else:
            plain = adapted = DecoderGraph(decoder, manifest.has_adapter, {})
            if PATHS_FILE in manifest.files:
                paths_session = device.session(folder / PATHS_FILE, steady=True)
                paths = DecoderGraph(paths_session, manifest.has_adapter, {})
        self._plain, self._adapted, self._paths = plain, adapted, paths

    @property
    def share_prefixes(self) -> bool:
        """Whether a graph reads a prefix that all rows share."""
        return self._paths is not None

    def of(self, *, events: bool, shared_prefix: bool) -> DecoderGraph:
        """Return the graph for a batch of which any row has events, or none has."""
        if shared_prefix:
            assert self._paths is not None
            return self._paths
        return self._adapted if events else self._plain


def _without_prefix(manifest: Manifest) -> dict[str, Span]:
    """Inputs of `branches.onnx` for rows that share no prefix; every input must be bound to something."""
    spans = {"shared_prefix": host_span(np.array(False))}
    for i, layout in enumerate(manifest.caches):
        for kind in ("key", "value"):
            unused = np.zeros((1, layout.heads, 1, layout.head_dim), np.float32)
            spans[f"prefix_{kind}.{i}"] = host_span(unused)
    return spans
