"""Compare the exported graphs with torch, for prefill and cached steps, with and without events."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.adapter import Adapter, merged
from export.decoder import KronosDecoder
from export.errors import ParityError
from export.events import EventEncoder
from export.graph import cache_layouts
from export.tokenizer import KronosTokenizer
from inference_server.bundle import (
    DECODE_FILE,
    DECODER_FILE,
    ENCODE_FILE,
    EVENTS_FILE,
    PATHS_FILE,
    TIME_FILE,
)

PREFILL, STEPS, ROWS = 40, 10, 2
# Largest difference of a logit, relative to the largest logit (at least 1).
TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2}
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


def verify_decoder(
    folder: Path,
    decoder: KronosDecoder,
    adapter: Adapter | None,
    encoder: EventEncoder | None,
    precision: str,
) -> dict[str, float]:
    """Largest relative logit differences of `decoder.onnx` and `paths.onnx` from torch in float32.

    Raises
    ------
    ParityError
        A difference is beyond the tolerance of the precision.
    """
    session = _session(folder / DECODER_FILE)
    paths = _session(folder / PATHS_FILE) if (folder / PATHS_FILE).is_file() else None
    dtype = np.float16 if precision == "fp16" else np.float32

    def measure(reference: KronosDecoder, sequence: _Sequence, gated: bool, suffix: str) -> dict[str, float]:
        gate = None if adapter is None else np.full((ROWS, 1, 1), gated, dtype)
        own = _measure(session, reference, sequence, gate, precision, suffix)
        if paths is None:
            return own
        return own | _measure_shared((session, paths), reference, sequence, gate, precision, suffix)

    figures = measure(decoder, _random_sequence(folder, decoder, None), False, "")
    if encoder is not None:
        sequence = _random_sequence(folder, decoder, _verified_embedding(folder, encoder, figures))
        reference = decoder
        if adapter is not None:
            reference = KronosDecoder(decoder.config).eval()
            reference.load_state_dict(merged(decoder, adapter))
        figures |= measure(reference, sequence, True, "_events")
    worst = max(figures, key=figures.__getitem__)
    if not figures[worst] <= TOLERANCE[precision]:
        raise ParityError(
            f"the exported decoder differs from torch: {worst} is {figures[worst]:.2e}, the tolerance in "
            f"{precision} is {TOLERANCE[precision]:.0e}; no bundle was written"
        )
    return figures


def verify_tokenizer(folder: Path, tokenizer: KronosTokenizer) -> dict[str, float]:
    """Token mismatches (bits near zero aside) and the largest difference of a decoded candle.

    Raises
    ------
    ParityError
        A token differs, or a candle by more than the tolerance.
    """
    generator = torch.Generator().manual_seed(1)
    walk = torch.randn(2, 200, 6, generator=generator).cumsum(1)
    candles = ((walk - walk.mean(1, keepdim=True)) / walk.std(1, keepdim=True)).clamp(-5, 5)
    encode, decode = _session(folder / ENCODE_FILE), _session(folder / DECODE_FILE)
    with torch.no_grad():
        expected = tokenizer.encode(candles)
        certain = (tokenizer.quantiser_input(candles).abs() > NEAR_ZERO).all(-1)
        s1, s2 = (torch.from_numpy(t) for t in encode.run(["s1", "s2"], {"candles": candles.numpy()}))
        wrong = ((s1 != expected[0]) | (s2 != expected[1])) & certain
        whole = tokenizer.decode(s1, s2)[:, 150:].numpy()
    past = {"past_s1": s1[:1, :150].numpy(), "past_s2": s2[:1, :150].numpy()}
    (decoded,) = decode.run(["candles"], past | {"s1": s1[:1, 150:].numpy(), "s2": s2[:1, 150:].numpy()})
    figures = {
        "tokenizer_mismatches": float(wrong.sum()),
        "tokenizer_decode": float(np.abs(decoded - whole[:1]).max()),
    }
    if figures["tokenizer_mismatches"] or not figures["tokenizer_decode"] <= CANDLE_TOLERANCE:
        raise ParityError(f"the exported tokenizer differs from torch: {figures}; no bundle was written")
    return figures


def _session(file: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _verified_embedding(folder: Path, encoder: EventEncoder, figures: dict[str, float]) -> Tensor:
    events = torch.randn(
        ROWS, PREFILL + STEPS, encoder.proj.in_features, generator=torch.Generator().manual_seed(2)
    )
    (out,) = _session(folder / EVENTS_FILE).run(["event_embedding"], {"events": events.numpy()})
    with torch.no_grad():
        expected: Tensor = encoder(events)
    figures["event_encoder"] = float((torch.from_numpy(out) - expected).abs().max())
    return expected


def _random_sequence(folder: Path, decoder: KronosDecoder, event_embedding: Tensor | None) -> _Sequence:
    config, shape = decoder.config, (ROWS, PREFILL + STEPS)
    generator = torch.Generator().manual_seed(3)
    s1 = torch.randint(2**config.s1_bits, shape, generator=generator)
    s2 = torch.randint(2**config.s2_bits, shape, generator=generator)
    hours = torch.arange(shape[1])
    stamp = torch.stack([hours * 0, hours % 24, hours // 24 % 7, 1 + hours // 24, hours * 0 + 6], dim=-1)
    stamp = stamp.expand(ROWS, -1, -1).contiguous()
    (time,) = _session(folder / TIME_FILE).run(["time_embedding"], {"stamp": stamp.numpy()})
    conditioning = torch.from_numpy(time)
    if event_embedding is not None:
        conditioning = conditioning + event_embedding
    return _Sequence(s1, s2, stamp, event_embedding, conditioning)


def _measure(
    session: ort.InferenceSession,
    reference: KronosDecoder,
    sequence: _Sequence,
    gate: NDArray[np.floating] | None,
    precision: str,
    suffix: str,
) -> dict[str, float]:
    """Feed a prefill and then single tokens; compare the logits after each call."""
    worst: dict[str, float] = {}
    past = _empty_caches(reference, precision, ROWS, PREFILL + STEPS)
    for stop in range(PREFILL, PREFILL + STEPS + 1):
        start = 0 if stop == PREFILL else stop - 1
        outputs = _call(session, sequence, start, stop, past, gate)
        past = _presents(outputs)
        _compare(worst, outputs, reference, sequence, stop, f"{'step' if start else 'prefill'}{suffix}")
    return worst


def _measure_shared(
    sessions: tuple[ort.InferenceSession, ort.InferenceSession],
    reference: KronosDecoder,
    sequence: _Sequence,
    gate: NDArray[np.floating] | None,
    precision: str,
    suffix: str,
) -> dict[str, float]:
    """Prefill the first row, and let every row continue it by tokens of its own."""
    worst: dict[str, float] = {}
    prefill, paths = sessions
    sequence = sequence.with_prefix_of_first_row(PREFILL)
    empty = _empty_caches(reference, precision, 1, PREFILL)
    outputs = _call(prefill, sequence.rows(1), 0, PREFILL, empty, None if gate is None else gate[:1])
    prefix = {k.replace("past", "prefix"): v for k, v in _presents(outputs).items()}
    past = _empty_caches(reference, precision, ROWS, STEPS)
    for stop in range(PREFILL + 1, PREFILL + STEPS + 1):
        outputs = _call(paths, sequence, stop - 1, stop, past | prefix, gate, prefix_length=PREFILL)
        past = _presents(outputs)
        _compare(worst, outputs, reference, sequence, stop, f"shared{suffix}")
    return worst


def _presents(outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {k.replace("present", "past"): v for k, v in outputs.items() if k.startswith("present")}


def _compare(
    worst: dict[str, float],
    outputs: dict[str, NDArray[Any]],
    reference: KronosDecoder,
    sequence: _Sequence,
    stop: int,
    name: str,
) -> None:
    """Keep the largest relative difference of the logits after the first `stop` tokens."""
    embedding = sequence.event_embedding
    with torch.no_grad():
        hidden = reference.hidden(
            sequence.s1[:, :stop],
            sequence.s2[:, :stop],
            sequence.stamp[:, :stop],
            None if embedding is None else embedding[:, :stop],
        )
        drawn = torch.from_numpy(outputs["next_s1"])
        expected = {
            "s1_logits": reference.s1_logits(hidden)[:, -1],
            "s2_logits": reference.s2_logits(hidden, drawn)[:, -1],
        }
    for head, logits in expected.items():
        scale = max(1.0, float(logits.abs().max()))
        difference = float(np.abs(outputs[head] - logits.numpy()).max()) / scale
        key = f"{head}_{name}"
        # max() would drop a NaN.
        worst[key] = difference if not difference <= worst.get(key, 0.0) else worst[key]


def _empty_caches(decoder: KronosDecoder, precision: str, rows: int, tokens: int) -> dict[str, NDArray[Any]]:
    dtype = np.float16 if precision == "fp16" else np.float32
    return {
        f"past_{kind}.{i}": np.zeros((rows, c.heads, tokens, c.head_dim), dtype)
        for i, c in enumerate(cache_layouts(decoder))
        for kind in ("key", "value")
    }


def _call(
    session: ort.InferenceSession,
    sequence: _Sequence,
    start: int,
    stop: int,
    past: dict[str, NDArray[Any]],
    gate: NDArray[np.floating] | None,
    prefix_length: int = 0,
) -> dict[str, NDArray[Any]]:
    rows, cached = len(sequence.s1), stop - prefix_length
    length, width = sequence.conditioning.shape[1:]
    feeds = {
        "s1": sequence.s1[:, start:stop].numpy(),
        "s2": sequence.s2[:, start:stop].numpy(),
        "position": np.arange(rows)[:, None] * length + np.arange(start, stop),
        "conditioning": sequence.conditioning.reshape(-1, width).numpy().astype(past["past_key.0"].dtype),
        "last_index": np.full((rows, 1), stop - start - 1),
        "seqlens_k": np.full(rows, cached - 1, np.int32),
        "total_sequence_length": np.array([cached], np.int32),
        "uniform": np.zeros((rows, 2), np.float32),
        "temperature": np.ones((rows, 1), np.float32),
        "top_k": np.ones((rows, 1), np.int64),
        "top_p": np.ones((rows, 1), np.float32),
    } | past
    if gate is not None:
        feeds["adapter_gate"] = gate
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))
