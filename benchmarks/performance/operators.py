"""Measures in which operators the time of prefills and steps goes, with ONNX Runtime's own profiler."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import onnxruntime as ort

from benchmarks.machine import facts
from benchmarks.market import job
from benchmarks.models import PRECISIONS, bundle
from benchmarks.performance.products import OWN_ATTENTION, WEIGHT_OPERATORS
from benchmarks.performance.results import load_all
from export.functions import ROUND_ROWS, SAMPLE
from inference_server.engine import device
from inference_server.engine.batching import Batching
from inference_server.engine.bundle import load_manifest
from inference_server.engine.device import CpuDevice
from inference_server.engine.engine import Engine
from inference_server.engine.lanes import Observer

SIZE: Final = "base"
LOOKBACK: Final = 392
STEPS: Final = 24
PATHS: Final = (1, 20)
KINDS: Final = ("products with weights", "quantising", "attention", "sampling", "the rest")
_ATTENTION: Final = frozenset(
    {"Attention", "GroupQueryAttention", "MultiHeadAttention", "RotaryEmbedding"}
    | OWN_ATTENTION
    # Joining what a path attends to in the shared history with what it attends to in its own tokens.
    | {"Log", "ReduceLogSumExp", "ReduceMax", "Sigmoid", "Softmax", "Transpose"}
)
# Rounding activations to 8 bits, of the shape (rows, 1, width) or (1, tokens, width).
_QUANTISING: Final = frozenset(
    {"Abs", "Div", "DynamicQuantizeLinear", "Max", "QuantizeLinear", "ReduceMax", "Round", ROUND_ROWS.name}
)
_AXES_OF_HEADS: Final = 4
# Their time is that of the operators inside them, which are recorded as well.
_CONTAINERS: Final = frozenset({"If", "Loop", "Scan"})
_SAMPLING: Final = frozenset({"CumSum", "GatherElements", "TopK", SAMPLE.name})
# Operators of the rest that are named.
_NAMED: Final = 4


def measure() -> list[dict[str, Any]]:
    """Return the share of each kind of operator in prefills and steps, by precision and paths.

    The figures of the earliest commit that was measured on such a processor stay in front, as those before.
    """
    machine = facts()
    of_now = {"commit": machine["commit"], "cpu": machine["cpu"]}
    rows = [of_now | row for precision in PRECISIONS for paths in PATHS for row in profile(precision, paths)]
    earlier = load_all().get(machine["compiled_operators"], {}).get("profile")
    return with_earliest(earlier.rows if earlier else [], rows)


def with_earliest(earlier: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return new rows behind the earliest ones of the same processor, if those are of another commit."""
    commit, cpu = rows[0]["commit"], rows[0]["cpu"]
    other = [row for row in earlier if row["cpu"] == cpu and row["commit"] != commit]
    return [row for row in other if row["commit"] == other[0]["commit"]] + rows


def profile(precision: str, paths: int) -> Iterator[dict[str, Any]]:
    folder = bundle(SIZE, "events", precision)
    manifest = load_manifest(folder, verify=False)
    with tempfile.TemporaryDirectory() as temporary:
        profiled = ProfiledDevice(Path(temporary))
        engine = Engine(folder, manifest, profiled)
        engine.warm_up()
        windows = _Windows()
        batching = Batching(engine, windows)
        batching.add(job(LOOKBACK, STEPS, sample_count=paths))
        while not batching.idle:
            batching.step()
        events = profiled.events()
    for phase, spans in (("prefill", windows.prefills), ("step", windows.steps)):
        if phase == "prefill" and paths > 1:  # the same work whatever the paths
            continue
        yield {
            "precision": precision,
            "paths": paths,
            "phase": phase,
            "seconds": sum(end - start for start, end in spans) / len(spans) / 1e9,
            **summary(events, spans, 2**manifest.s1_bits),
        }


@dataclass(frozen=True)
class Event:
    """One run of one operator.

    Attributes
    ----------
    begin, duration
        Nanoseconds since the epoch, and nanoseconds.
    operator
        ONNX' name of it.
    shapes
        Of its inputs, without constants that ONNX Runtime has rearranged for itself.
    """

    begin: int
    duration: int
    operator: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass
class _Windows(Observer):
    """When each prefill and each step began and ended, nanoseconds since the epoch."""

    prefills: list[tuple[int, int]] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def prefilled(self, seconds: float, tokens: int) -> None:
        """Note a prefill that has just ended."""
        self._note(self.prefills, seconds)

    def stepped(self, seconds: float, rows: int) -> None:
        """Note a step that has just ended."""
        self._note(self.steps, seconds)

    def _note(self, spans: list[tuple[int, int]], seconds: float) -> None:
        end = time.time_ns()
        spans.append((end - int(seconds * 1e9), end))


class ProfiledDevice(CpuDevice):
    """The CPU, with sessions that record each operator."""

    def __init__(self, folder: Path) -> None:
        """Let the sessions write their records to a folder."""
        super().__init__()
        self._folder = folder
        self._sessions: list[ort.InferenceSession] = []

    def session(self, file: Path, **settings: Any) -> ort.InferenceSession:
        """Load a graph; see `CpuDevice`."""
        with _profiling(self._folder / file.stem):
            session = super().session(file, **settings)
        self._sessions.append(session)
        return session

    def events(self) -> list[Event]:
        """Return what all sessions have run; they record no more after that."""
        return [event for session in self._sessions for event in _events(session)]


@contextmanager
def _profiling(prefix: Path) -> Iterator[None]:
    """Let sessions that are loaded in the block, with the engine's own options, record what they run."""
    options_of = device.session_options

    @wraps(options_of)
    def profiled(*arguments: Any, **settings: Any) -> ort.SessionOptions:
        options = options_of(*arguments, **settings)
        options.enable_profiling, options.profile_file_prefix = True, str(prefix)
        return options

    with patch.object(device, "session_options", profiled):
        yield


def _events(session: ort.InferenceSession) -> Iterator[Event]:
    start = session.get_profiling_start_time_ns()
    for event in json.loads(Path(session.end_profiling()).read_text()):
        is_operator = event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        if is_operator and event["args"]["op_name"] not in _CONTAINERS:
            shapes = event["args"]["input_type_shape"]
            yield Event(
                start + 1000 * event["ts"],
                1000 * event["dur"],
                event["args"]["op_name"],
                tuple(tuple(shape) for entry in shapes for shape in entry.values()),
            )


def kind_of(event: Event, vocabulary: int) -> str:
    """Return which of `KINDS` an operator belongs to.

    A product with weights has one input besides the constants that ONNX Runtime has rearranged, or a plain
    matrix as its second one; one of attention has two of more axes. Sampling works on (rows, vocabulary), and
    what has an axis of heads beside rows, tokens and width belongs to attention.
    """
    first = event.shapes[0] if event.shapes else ()
    if event.operator in WEIGHT_OPERATORS:
        with_weights = len(event.shapes) < 2 or len(event.shapes[1]) <= 2
        return "products with weights" if with_weights else "attention"
    if event.operator in _QUANTISING and len(first) == 3 and 1 in first[:2]:
        return "quantising"
    if event.operator in _SAMPLING or (len(first) == 2 and first[1] == vocabulary and first[0] != vocabulary):
        return "sampling"
    return "attention" if event.operator in _ATTENTION or len(first) >= _AXES_OF_HEADS else "the rest"


def summary(events: Sequence[Event], spans: Sequence[tuple[int, int]], vocabulary: int) -> dict[str, Any]:
    """Return the share of each kind in the operators' time within the spans, and the largest of the rest.

    Returns
    -------
    dict
        "shares" by kind and "rest" by operator; "operators", how many run in a span.
    """
    inside = [event for event in events if any(begin <= event.begin < end for begin, end in spans)]
    by_kind: Counter[str] = Counter()
    rest: Counter[str] = Counter()
    for event in inside:
        kind = kind_of(event, vocabulary)
        by_kind[kind] += event.duration
        if kind == "the rest":
            rest[event.operator] += event.duration
    whole = max(1, by_kind.total())
    return {
        "shares": {kind: by_kind[kind] / whole for kind in KINDS},
        "rest": {name: duration / whole for name, duration in rest.most_common(_NAMED)},
        "operators": len(inside) // max(1, len(spans)),
    }
