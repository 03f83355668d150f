"""Compare the exported decoder with torch, up to the end of the context, with and without events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.decoder_runs import (
    DecoderGraphs,
    Graph,
    TokenSequence,
    TorchReference,
    dtype_of,
    empty_caches,
    prefix_caches,
    present_caches,
    random_sequence,
    run_graph,
)
from export.errors import ParityError
from export.half import half_figures
from export.model.adapter import Adapter, merged
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder
from export.parity import cpu_session, largest, logit_figures, relative_difference
from inference_server.engine.bundle import EVENTS_FILE

PREFILL, STEPS, ROWS = 40, 10, 2
# Lengths of rows in one call: the padding of the short row must change nothing.
UNEVEN = (PREFILL, 23)
# Tokens at once behind a history.
WINDOW = 7
# Steps up to the last position that the context holds.
END_STEPS = 3
# Largest difference of a logit, relative to the largest logit (at least 1).
TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2, "int8": 1e-1}
# Largest difference of a value of EventEncoder, which is exported in float32 whatever the decoder is,
# relative to the largest value (at least 1).
EVENT_TOLERANCE = 1e-5


def verify_decoder(
    folder: Path,
    decoder: KronosDecoder,
    adapter: Adapter | None,
    encoder: EventEncoder | None,
    precision: str,
    max_context: int,
) -> dict[str, float]:
    """Return the largest relative logit differences of the decoder's graphs from torch in float32.

    Compared are a prefill and single steps, rows of different lengths in one call, steps behind one history
    that the rows share and behind one of each, several tokens at once there, prefills of half the context and
    of all but the last tokens, and the steps to the context's end;
    without events and, where there is an `encoder`, with them. In half precision torch in half precision is
    compared too (`export.half`).

    Raises
    ------
    ParityError
        A difference is beyond the tolerance of the precision, or NaN.
    """

    def measure(
        reference: KronosDecoder, embedding: Tensor | None, gated: bool, suffix: str
    ) -> dict[str, float]:
        gate = None if adapter is None else np.full((ROWS, 1, 1), gated, dtype_of(precision))
        sequence = random_sequence(folder, decoder, embedding, ROWS, max_context)
        graphs = DecoderGraphs.of(folder, gated)
        figures = _measure(graphs, reference, sequence, gate, precision, max_context)
        if precision == "fp16":
            figures |= half_figures(reference, sequence.s1, sequence.s2, sequence.stamp, embedding)
        return {f"{name}{suffix}": figure for name, figure in figures.items()}

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


def _verified_embedding(folder: Path, encoder: EventEncoder, max_context: int) -> tuple[Tensor, float]:
    """Return the embedding of random events (B, N, d), and the graph's relative difference from it."""
    events = torch.randn(
        ROWS, max_context, encoder.proj.in_features, generator=torch.Generator().manual_seed(2)
    )
    (out,) = cpu_session(folder / EVENTS_FILE).run(["event_embedding"], {"events": events.numpy()})
    with torch.no_grad():
        expected: Tensor = encoder(events)
    difference = relative_difference(out, expected.numpy())
    if not difference <= EVENT_TOLERANCE:
        raise ParityError(
            f"the exported EventEncoder differs from torch by {difference:.2e}, the tolerance is "
            f"{EVENT_TOLERANCE:.0e}; no bundle was written"
        )
    return expected, difference


def _measure(
    graphs: DecoderGraphs,
    decoder: KronosDecoder,
    sequence: TokenSequence,
    gate: NDArray[np.floating] | None,
    precision: str,
    max_context: int,
) -> dict[str, float]:
    """Return the figures of every comparison of one decoder, by logits and comparison."""
    worst: dict[str, float] = {}
    reference = TorchReference.of(decoder, sequence)
    end = max_context - END_STEPS

    def compare_continuation(lengths: Sequence[int], steps: int, prefill: str, step: str) -> None:
        """Feed rows of these lengths in one call, then single tokens; compare the logits after each."""
        capacity = max(lengths) + steps
        past = empty_caches(decoder, precision, ROWS, capacity)
        starts = [0] * ROWS
        stops = list(lengths)
        for name in [prefill] + [step] * steps:
            outputs = run_graph(graphs.decoder, sequence, starts, stops, past, gate)
            past = present_caches(outputs)
            _compare(worst, outputs, reference, stops, name)
            starts, stops = stops, [stop + 1 for stop in stops]

    def history_caches(history: Graph, tokens: TokenSequence) -> dict[str, NDArray[Any]]:
        """Return the caches of the one row of a sequence, under the names of the next run's inputs."""
        row_gate = None if gate is None else gate[:1]
        return prefix_caches(run_graph(history, tokens, [0], [tokens.s1.shape[1]], {}, row_gate))

    def compare_shared_prefix(length: int, histories: int, new: int, steps: int, name: str) -> None:
        """Let rows continue one history or one of each by `new` tokens at once, then by single ones."""
        assert graphs.paths is not None
        assert graphs.history is not None
        joined = sequence.with_prefix_of_first_row(length) if histories == 1 else sequence
        own = TorchReference.of(decoder, joined)
        begun = [history_caches(graphs.history, joined.row(i).until(length)) for i in range(histories)]
        prefix = {key: np.concatenate([caches[key] for caches in begun]) for key in begun[0]}
        past = empty_caches(decoder, precision, ROWS, new + steps)
        start = length
        for stop in range(length + new, length + new + steps + 1):
            outputs = run_graph(
                graphs.paths, joined, [start] * ROWS, [stop] * ROWS, past | prefix, gate, length
            )
            past, start = present_caches(outputs), stop
            _compare(worst, outputs, own, [stop] * ROWS, name)

    compare_continuation([PREFILL] * ROWS, STEPS, "prefill", "step")
    compare_continuation(UNEVEN, STEPS, "uneven", "uneven")
    compare_continuation([max_context // 2] * ROWS, 0, "middle", "middle")
    compare_continuation([end] * ROWS, END_STEPS, "end", "end")
    if graphs.paths is not None:
        compare_shared_prefix(PREFILL, histories=1, new=1, steps=STEPS, name="shared")
        compare_shared_prefix(PREFILL, histories=ROWS, new=WINDOW, steps=END_STEPS, name="window")
        compare_shared_prefix(end - 1, histories=1, new=1, steps=END_STEPS, name="shared_end")
    return worst


def _compare(
    worst: dict[str, float],
    outputs: dict[str, NDArray[Any]],
    reference: TorchReference,
    stops: Sequence[int],
    name: str,
) -> None:
    """Keep the largest relative difference of the logits after the first `stops` tokens of each row."""
    for head, logits in reference.logits(stops, outputs["next_s1"]).items():
        key = f"{head}_{name}"
        # max() may drop a NaN.
        worst[key] = float(np.maximum(relative_difference(outputs[head], logits), worst.get(key, 0.0)))
