"""Runs of a decoder on a sequence of tokens: by the exported graphs, and by torch as the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.graph import cache_layouts
from export.model.decoder import KronosDecoder
from export.parity import cpu_session
from inference_server.engine.bundle import BRANCHES_FILE, DECODER_FILE, TIME_FILE
from inference_server.engine.decoder_graphs import NUMPY_TYPES, unread_input
from market.types import Float32Array


@dataclass(frozen=True)
class TokenSequence:
    """Random tokens (B, N), stamps (B, N, 5) and, optionally, an event embedding (B, N, d).

    `conditioning` (B, N, d) is what the exported graphs make of the stamps and the events.
    """

    s1: Tensor
    s2: Tensor
    stamp: Tensor
    event_embedding: Tensor | None
    conditioning: Tensor

    def row(self, index: int) -> "TokenSequence":
        """Return one row, (1, …)."""
        embedding, row = self.event_embedding, slice(index, index + 1)
        return TokenSequence(
            self.s1[row],
            self.s2[row],
            self.stamp[row],
            None if embedding is None else embedding[row],
            self.conditioning[row],
        )

    def until(self, length: int) -> "TokenSequence":
        """Return the first tokens of every row."""
        embedding = self.event_embedding
        return TokenSequence(
            self.s1[:, :length],
            self.s2[:, :length],
            self.stamp[:, :length],
            None if embedding is None else embedding[:, :length],
            self.conditioning[:, :length],
        )

    def with_prefix_of_first_row(self, length: int) -> "TokenSequence":
        """Return the sequence with the first row's tokens and events at the beginning of every row."""

        def joined(x: Tensor) -> Tensor:
            return torch.cat([x[:1, :length].expand(len(x), *x[:1, :length].shape[1:]), x[:, length:]], 1)

        embedding = self.event_embedding
        return TokenSequence(
            joined(self.s1),
            joined(self.s2),
            self.stamp,
            None if embedding is None else joined(embedding),
            joined(self.conditioning),
        )


@dataclass(frozen=True)
class Graph:
    """A graph of the decoder, and the inputs that are the same at every call."""

    session: ort.InferenceSession
    fixed: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class DecoderGraphs:
    """The graphs that a bundle runs for rows with events, or for rows without."""

    decoder: Graph
    history: Graph | None
    paths: Graph | None  # for rows that share a prefix

    @classmethod
    def of(cls, folder: Path, events: bool) -> "DecoderGraphs":
        """Load the graphs as the server chooses them (`inference_server.engine.decoder_graphs`)."""
        plain = Graph(cpu_session(folder / DECODER_FILE), {})
        if not (folder / BRANCHES_FILE).is_file():
            return cls(plain, None, None)
        branches = cpu_session(folder / BRANCHES_FILE)
        adapted = "shared_prefix" in {given.name for given in branches.get_inputs()}
        history, paths, decoder = (
            Graph(branches, {"history": np.array(history), "shared_prefix": np.array(shared)})
            for history, shared in ((True, False), (False, True), (False, False))
        )
        return cls(decoder if events and adapted else plain, history, paths)


@dataclass(frozen=True)
class TorchReference:
    """Torch's logits in float32 of every prefix of a sequence, from one pass: the decoder is causal."""

    decoder: KronosDecoder
    hidden: Tensor  # (B, N, d)

    @classmethod
    def of(cls, decoder: KronosDecoder, sequence: TokenSequence) -> "TorchReference":
        """Run torch over a whole sequence."""
        with torch.no_grad():
            return cls(
                decoder,
                decoder.hidden(sequence.s1, sequence.s2, sequence.stamp, sequence.event_embedding),
            )

    def logits(self, stops: Sequence[int], next_s1: NDArray[Any]) -> dict[str, Float32Array]:
        """Return logits (B, V) after the first `stops` tokens of each row, those of s2 given s1 (B, 1)."""
        s1, s2 = [], []
        with torch.no_grad():
            for row, stop in enumerate(stops):
                hidden = self.hidden[row : row + 1, :stop]
                s1.append(self.decoder.s1_logits(hidden[:, -1:])[0, 0])
                drawn = torch.from_numpy(next_s1[row : row + 1])
                s2.append(self.decoder.s2_logits(hidden, drawn)[0, 0])
        return {"s1_logits": torch.stack(s1).numpy(), "s2_logits": torch.stack(s2).numpy()}


def random_sequence(
    folder: Path, decoder: KronosDecoder, event_embedding: Tensor | None, rows: int, max_context: int
) -> TokenSequence:
    """Return random tokens, hourly stamps and, with `event_embedding` (B, N, d), the events of a sequence."""
    config, shape = decoder.config, (rows, max_context)
    generator = torch.Generator().manual_seed(3)
    s1 = torch.randint(2**config.s1_bits, shape, generator=generator)
    s2 = torch.randint(2**config.s2_bits, shape, generator=generator)
    hours = torch.arange(shape[1])
    stamp = torch.stack(
        [hours * 7 % 60, hours % 24, hours // 24 % 7, 1 + hours // 24 % 31, 1 + hours // 24 % 12], dim=-1
    )
    stamp = stamp.expand(rows, -1, -1).contiguous()
    (time,) = cpu_session(folder / TIME_FILE).run(["time_embedding"], {"stamp": stamp.numpy()})
    conditioning = torch.from_numpy(time)
    if event_embedding is not None:
        conditioning = conditioning + event_embedding
    return TokenSequence(s1, s2, stamp, event_embedding, conditioning)


def present_caches(outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the caches that a run wrote, under the names of the next run's inputs."""
    return {k.replace("present", "past"): v for k, v in outputs.items() if k.startswith("present")}


def prefix_caches(outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the caches of a history as a prefix that rows share, under the names of the graph's inputs."""
    return {name.replace("past", "prefix"): cache for name, cache in present_caches(outputs).items()}


def empty_caches(decoder: KronosDecoder, precision: str, rows: int, tokens: int) -> dict[str, NDArray[Any]]:
    """Return zeros for every cache of a decoder, by the names of the graph\'s inputs."""
    return {
        f"past_{kind}.{i}": np.zeros((rows, c.heads, tokens, c.head_dim), c.dtype or dtype_of(precision))
        for i, c in enumerate(cache_layouts(decoder, precision))
        for kind in ("key", "value")
    }


def dtype_of(precision: str) -> type[np.floating]:
    """Return the type of activations in a precision, and of caches that are not 8-bit."""
    return np.float16 if precision == "fp16" else np.float32


def run_graph(
    graph: Graph,
    sequence: TokenSequence,
    starts: Sequence[int],
    stops: Sequence[int],
    past: dict[str, NDArray[Any]],
    gate: NDArray[np.floating] | None,
    prefix_length: int = 0,
) -> dict[str, NDArray[Any]]:
    """Feed each row's tokens from its start to its stop, short rows padded on the right with zeros."""
    rows = len(sequence.s1)
    new = [stop - start for start, stop in zip(starts, stops, strict=True)]
    length, width = sequence.conditioning.shape[1:]
    table = sequence.conditioning.reshape(-1, width).numpy()
    positions = torch.arange(rows)[:, None] * length + torch.arange(length)

    def padded_tokens(values: Tensor) -> NDArray[Any]:
        padded = values.new_zeros(rows, max(new), *values.shape[2:])
        for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            padded[row, : stop - start] = values[row, start:stop]
        return padded.numpy()

    cached = np.array(stops) - prefix_length
    inputs = graph.session.get_inputs()
    dtype = next(NUMPY_TYPES[given.type] for given in inputs if given.name == "conditioning")
    given = {
        **graph.fixed,
        "s1": padded_tokens(sequence.s1),
        "s2": padded_tokens(sequence.s2),
        "position": padded_tokens(positions),
        "conditioning": table.astype(dtype),
        "last_index": np.array(new)[:, None] - 1,
        "seqlens_k": (cached - 1).astype(np.int32),
        "total_sequence_length": np.array([cached.max()], np.int32),
        "uniform": np.zeros((rows, 2), np.float32),
        "temperature": np.ones((rows, 1), np.float32),
        "top_k": np.ones((rows, 1), np.int64),
        "top_p": np.ones((rows, 1), np.float32),
        **({} if gate is None else {"adapter_gate": gate}),
        **past,
    }
    feeds = {i.name: given[i.name] if i.name in given else unread_input(i) for i in inputs}
    names = [output.name for output in graph.session.get_outputs()]
    return dict(zip(names, graph.session.run(names, feeds), strict=True))
