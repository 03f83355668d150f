"""Compare the exported graphs with torch, up to the end of the context, with and without events."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.errors import ParityError
from export.graph import cache_layouts
from export.half import half_figures
from export.model.adapter import Adapter, merged
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder
from export.model.tokenizer import KronosTokenizer
from inference_server.engine.bundle import (
    BRANCHES_FILE,
    DECODE_FILE,
    DECODER_FILE,
    ENCODE_FILE,
    EVENTS_FILE,
    PATHS_FILE,
    TIME_FILE,
)
from market.types import Float32Array

PREFILL, STEPS, ROWS = 40, 10, 2
# Of rows that enter one call with different lengths: the padding of the short one must change nothing.
UNEVEN = (PREFILL, 23)
# Steps up to the last position that the context holds.
END_STEPS = 3
# Largest difference of a logit, relative to the largest logit (at least 1).
TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2}
# Largest difference of a value of EventEncoder, which is exported in float32 whatever the decoder is,
# relative to the largest value (at least 1).
EVENT_TOLERANCE = 1e-5
CANDLE_TOLERANCE = 1e-4
# A bit whose quantiser input is this near zero may fall differently in two runtimes.
NEAR_ZERO = 1e-5


@dataclass(frozen=True)
class _Sequence:
    """Random tokens (B, N), stamps (B, N, 5) and, optionally, an event embedding (B, N, d).

    `conditioning` (B, N, d) is what the exported graphs make of the stamps and the events.
    """

    s1: Tensor
    s2: Tensor
    stamp: Tensor
    event_embedding: Tensor | None
    conditioning: Tensor

    def rows(self, count: int) -> "_Sequence":
        """The first rows."""
        embedding = self.event_embedding
        return _Sequence(
            self.s1[:count],
            self.s2[:count],
            self.stamp[:count],
            None if embedding is None else embedding[:count],
            self.conditioning[:count],
        )

    def with_prefix_of_first_row(self, length: int) -> "_Sequence":
        """Every row begins with the first one's tokens and events."""

        def joined(x: Tensor) -> Tensor:
            return torch.cat([x[:1, :length].expand(len(x), *x[:1, :length].shape[1:]), x[:, length:]], 1)

        embedding = self.event_embedding
        return _Sequence(
            joined(self.s1),
            joined(self.s2),
            self.stamp,
            None if embedding is None else joined(embedding),
            joined(self.conditioning),
        )


@dataclass(frozen=True)
class _Graph:
    """A graph of the decoder, and the inputs that are the same at every call."""

    session: ort.InferenceSession
    fixed: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Graphs:
    """What a bundle runs for rows that have events, or for rows that have none."""

    decoder: _Graph
    paths: _Graph | None  # for rows that share a prefix

    @classmethod
    def of(cls, folder: Path, decoder: KronosDecoder, events: bool) -> "_Graphs":
        """Load them as the server chooses them (`inference_server.engine.decoder_graphs`)."""
        if not (folder / BRANCHES_FILE).is_file():
            paths = _session(folder / PATHS_FILE) if (folder / PATHS_FILE).is_file() else None
            plain = _Graph(_session(folder / DECODER_FILE), {})
            return cls(plain, None if paths is None else _Graph(paths, {}))
        branches = _session(folder / BRANCHES_FILE)
        paths_graph = _Graph(branches, {"shared_prefix": np.array(True)})
        if not events:
            return cls(_Graph(_session(folder / DECODER_FILE), {}), paths_graph)
        unused = _empty_caches(decoder, "fp32", 1, 1)
        prefix = {name.replace("past", "prefix"): values for name, values in unused.items()}
        return cls(_Graph(branches, {"shared_prefix": np.array(False)} | prefix), paths_graph)


@dataclass(frozen=True)
class _Reference:
    """Torch's logits in float32 of every prefix of a sequence, from one pass: the decoder is causal."""

    decoder: KronosDecoder
    hidden: Tensor  # (B, N, d)

    @classmethod
    def of(cls, decoder: KronosDecoder, sequence: _Sequence) -> "_Reference":
        with torch.no_grad():
            return cls(
                decoder,
                decoder.hidden(sequence.s1, sequence.s2, sequence.stamp, sequence.event_embedding),
            )

    def logits(self, stops: Sequence[int], next_s1: NDArray[Any]) -> dict[str, Float32Array]:
        """Logits (B, V) after the first `stops` tokens of each row, those of s2 for its s1 (B, 1)."""
        s1, s2 = [], []
        with torch.no_grad():
            for row, stop in enumerate(stops):
                hidden = self.hidden[row : row + 1, :stop]
                s1.append(self.decoder.s1_logits(hidden[:, -1:])[0, 0])
                drawn = torch.from_numpy(next_s1[row : row + 1])
                s2.append(self.decoder.s2_logits(hidden, drawn)[0, 0])
        return {"s1_logits": torch.stack(s1).numpy(), "s2_logits": torch.stack(s2).numpy()}


def verify_decoder(
    folder: Path,
    decoder: KronosDecoder,
    adapter: Adapter | None,
    encoder: EventEncoder | None,
    precision: str,
    max_context: int,
) -> dict[str, float]:
    """Largest relative logit differences of the decoder's graphs from torch in float32.

    Compared are a prefill and single steps, rows of different lengths in one call, steps behind a shared
    prefix, prefills of half the context and of all but the last tokens, and the steps to the context's end;
    without events and, where there is an `encoder`, with them. In half precision torch in half precision is
    compared too (`export.half`).

    Raises
    ------
    ParityError
        A difference is beyond the tolerance of the precision, or no number.
    """

    def measure(
        reference: KronosDecoder, embedding: Tensor | None, gated: bool, suffix: str
    ) -> dict[str, float]:
        gate = None if adapter is None else np.full((ROWS, 1, 1), gated, _dtype(precision))
        sequence = _random_sequence(folder, decoder, embedding, max_context)
        graphs = _Graphs.of(folder, decoder, gated)
        found = _measure(graphs, reference, sequence, gate, precision, max_context)
        if precision == "fp16":
            found |= half_figures(reference, sequence.s1, sequence.s2, sequence.stamp, embedding)
        return {f"{name}{suffix}": figure for name, figure in found.items()}

    figures = measure(decoder, None, False, "")
    if encoder is not None:
        embedding, figures["event_encoder"] = _verified_embedding(folder, encoder, max_context)
        reference = decoder
        if adapter is not None:
            reference = KronosDecoder(decoder.config).eval()
            reference.load_state_dict(merged(decoder, adapter))
        figures |= measure(reference, embedding, True, "_events")
    worst, figure = largest(logit_figures(figures))
    if not figure <= TOLERANCE[precision]:
        raise ParityError(
            f"the exported decoder differs from torch: {worst} is {figure:.2e}, the tolerance in "
            f"{precision} is {TOLERANCE[precision]:.0e}; no bundle was written"
        )
    return figures


def logit_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the relative logit differences among a bundle's parity figures."""
    return {name: figure for name, figure in figures.items() if "logits" in name}


def largest(figures: Mapping[str, float]) -> tuple[str, float]:
    """Return the largest figure and its name; NaN is larger than any number.

    Python's `max` keeps whichever comes first where one of two is NaN.
    """
    return max(figures.items(), key=lambda item: math.inf if math.isnan(item[1]) else item[1])


def verify_tokenizer(folder: Path, tokenizer: KronosTokenizer, max_context: int) -> dict[str, float]:
    """Token mismatches (bits near zero aside) and the largest difference of a decoded candle.

    Raises
    ------
    ParityError
        A token differs, or a candle by more than the tolerance, or something is no number.
    """
    generator = torch.Generator().manual_seed(1)
    length = max(200, max_context)
    past = length * 3 // 4
    walk = torch.randn(2, length, 6, generator=generator).cumsum(1)
    candles = ((walk - walk.mean(1, keepdim=True)) / walk.std(1, keepdim=True)).clamp(-5, 5)
    encode, decode = _session(folder / ENCODE_FILE), _session(folder / DECODE_FILE)
    with torch.no_grad():
        expected = tokenizer.encode(candles)
        quantised = tokenizer.quantiser_input(candles)
        # A NaN is never near zero: it is no excuse for a token that differs, and refused below itself.
        certain = ~(quantised.abs() <= NEAR_ZERO).any(-1)
        s1, s2 = (torch.from_numpy(t) for t in encode.run(["s1", "s2"], {"candles": candles.numpy()}))
        wrong = ((s1 != expected[0]) | (s2 != expected[1])) & certain
        whole = tokenizer.decode(s1, s2)[:, past:].numpy()
    (decoded,) = decode.run(
        ["candles"],
        {
            "past_s1": s1[:1, :past].numpy(),
            "past_s2": s2[:1, :past].numpy(),
            "s1": s1[:1, past:].numpy(),
            "s2": s2[:1, past:].numpy(),
        },
    )
    figures = {
        "tokenizer_mismatches": float(wrong.sum()),
        "tokenizer_decode": float(np.abs(decoded - whole[:1]).max()),
    }
    if not bool(torch.isfinite(quantised).all()):
        raise ParityError(
            "the tokenizer makes ordinary candles into something that is no number, so its tokens mean "
            "nothing; is the checkpoint whole? No bundle was written"
        )
    if figures["tokenizer_mismatches"] or not figures["tokenizer_decode"] <= CANDLE_TOLERANCE:
        raise ParityError(f"the exported tokenizer differs from torch: {figures}; no bundle was written")
    return figures


def _session(file: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _verified_embedding(folder: Path, encoder: EventEncoder, max_context: int) -> tuple[Tensor, float]:
    """The event embedding of random events (B, N, d), and how far the graph's is from it, relatively."""
    events = torch.randn(
        ROWS, max_context, encoder.proj.in_features, generator=torch.Generator().manual_seed(2)
    )
    (out,) = _session(folder / EVENTS_FILE).run(["event_embedding"], {"events": events.numpy()})
    with torch.no_grad():
        expected: Tensor = encoder(events)
    difference = _relative_difference(out, expected.numpy())
    if not difference <= EVENT_TOLERANCE:
        raise ParityError(
            f"the exported EventEncoder differs from torch by {difference:.2e}, the tolerance is "
            f"{EVENT_TOLERANCE:.0e}; no bundle was written"
        )
    return expected, difference


def _relative_difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference relative to the largest value expected (at least 1); NaN where any is."""
    scale = np.maximum(1.0, np.abs(expected).max())
    return float(np.abs(found - expected).max() / scale)


def _random_sequence(
    folder: Path, decoder: KronosDecoder, event_embedding: Tensor | None, max_context: int
) -> _Sequence:
    config, shape = decoder.config, (ROWS, max_context)
    generator = torch.Generator().manual_seed(3)
    s1 = torch.randint(2**config.s1_bits, shape, generator=generator)
    s2 = torch.randint(2**config.s2_bits, shape, generator=generator)
    hours = torch.arange(shape[1])
    stamp = torch.stack(
        [hours * 7 % 60, hours % 24, hours // 24 % 7, 1 + hours // 24 % 31, 1 + hours // 24 % 12], dim=-1
    )
    stamp = stamp.expand(ROWS, -1, -1).contiguous()
    (time,) = _session(folder / TIME_FILE).run(["time_embedding"], {"stamp": stamp.numpy()})
    conditioning = torch.from_numpy(time)
    if event_embedding is not None:
        conditioning = conditioning + event_embedding
    return _Sequence(s1, s2, stamp, event_embedding, conditioning)


def _measure(
    graphs: _Graphs,
    decoder: KronosDecoder,
    sequence: _Sequence,
    gate: NDArray[np.floating] | None,
    precision: str,
    max_context: int,
) -> dict[str, float]:
    """Every comparison of one decoder, by the name of the logits and of the comparison."""
    worst: dict[str, float] = {}
    reference = _Reference.of(decoder, sequence)
    end = max_context - END_STEPS

    def continued(lengths: Sequence[int], steps: int, prefill: str, step: str) -> None:
        """Feed rows of these lengths in one call, then single tokens; compare the logits after each."""
        capacity = max(lengths) + steps
        past = _empty_caches(decoder, precision, ROWS, capacity)
        starts = [0] * ROWS
        stops = list(lengths)
        for name in [prefill] + [step] * steps:
            outputs = _call(graphs.decoder, sequence, starts, stops, past, gate)
            past = _presents(outputs)
            _compare(worst, outputs, reference, stops, name)
            starts, stops = stops, [stop + 1 for stop in stops]

    def shared(paths: _Graph, length: int, steps: int, name: str) -> None:
        """Prefill the first row, and let every row continue it by tokens of its own."""
        joined = sequence.with_prefix_of_first_row(length)
        own = _Reference.of(decoder, joined)
        empty = _empty_caches(decoder, precision, 1, length)
        first_gate = None if gate is None else gate[:1]
        outputs = _call(graphs.decoder, joined.rows(1), [0], [length], empty, first_gate)
        prefix = {k.replace("past", "prefix"): v for k, v in _presents(outputs).items()}
        past = _empty_caches(decoder, precision, ROWS, steps)
        for stop in range(length + 1, length + steps + 1):
            starts, stops = [stop - 1] * ROWS, [stop] * ROWS
            outputs = _call(paths, joined, starts, stops, past | prefix, gate, prefix_length=length)
            past = _presents(outputs)
            _compare(worst, outputs, own, stops, name)

    continued([PREFILL] * ROWS, STEPS, "prefill", "step")
    continued(UNEVEN, STEPS, "uneven", "uneven")
    continued([max_context // 2] * ROWS, 0, "middle", "middle")
    continued([end] * ROWS, END_STEPS, "end", "end")
    if graphs.paths is not None:
        shared(graphs.paths, PREFILL, STEPS, "shared")
        shared(graphs.paths, end, END_STEPS, "shared_end")
    return worst


def _presents(outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {k.replace("present", "past"): v for k, v in outputs.items() if k.startswith("present")}


def _compare(
    worst: dict[str, float],
    outputs: dict[str, NDArray[Any]],
    reference: _Reference,
    stops: Sequence[int],
    name: str,
) -> None:
    """Keep the largest relative difference of the logits after the first `stops` tokens of each row."""
    for head, logits in reference.logits(stops, outputs["next_s1"]).items():
        key = f"{head}_{name}"
        # Not max(), which may drop a NaN.
        worst[key] = float(np.maximum(_relative_difference(outputs[head], logits), worst.get(key, 0.0)))


def _empty_caches(decoder: KronosDecoder, precision: str, rows: int, tokens: int) -> dict[str, NDArray[Any]]:
    return {
        f"past_{kind}.{i}": np.zeros((rows, c.heads, tokens, c.head_dim), _dtype(precision))
        for i, c in enumerate(cache_layouts(decoder))
        for kind in ("key", "value")
    }


def _dtype(precision: str) -> type[np.floating]:
    return np.float16 if precision == "fp16" else np.float32


def _call(
    graph: _Graph,
    sequence: _Sequence,
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

    def fed(values: Tensor) -> NDArray[Any]:
        padded = values.new_zeros(rows, max(new), *values.shape[2:])
        for row, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            padded[row, : stop - start] = values[row, start:stop]
        return padded.numpy()

    cached = np.array(stops) - prefix_length
    feeds = {
        **graph.fixed,
        "s1": fed(sequence.s1),
        "s2": fed(sequence.s2),
        "position": fed(positions),
        "conditioning": table.astype(past["past_key.0"].dtype),
        "last_index": np.array(new)[:, None] - 1,
        "seqlens_k": (cached - 1).astype(np.int32),
        "total_sequence_length": np.array([cached.max()], np.int32),
        "uniform": np.zeros((rows, 2), np.float32),
        "temperature": np.ones((rows, 1), np.float32),
        "top_k": np.ones((rows, 1), np.int64),
        "top_p": np.ones((rows, 1), np.float32),
    } | past
    session = graph.session
    if "adapter_gate" in {given.name for given in session.get_inputs()}:
        assert gate is not None
        feeds["adapter_gate"] = gate
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
