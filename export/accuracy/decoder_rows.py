"""Steps rows through a bundle's decoder graphs, with caches that are updated in place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from export.accuracy.errors import AccuracyError
from export.parity import cpu_session
from inference_server.engine.bundle import BRANCHES_FILE, DECODER_FILE, TIME_FILE
from inference_server.engine.decoder_graphs import NUMPY_TYPES, unread_input
from market.types import Float32Array, Float64Array, Int64Array

FLAT_TEMPERATURE: Final = 2.0**20
"""Makes all tokens almost equally probable; a division by a power of two keeps the order of the logits."""

_OUTPUTS: Final = ("next_s1", "next_s2", "s1_logits", "s2_logits")


@dataclass(frozen=True)
class Sampling:
    """How rows draw: uniform numbers of s1 and s2 (rows, 2), temperature, and top_k (0 keeps all tokens)."""

    uniform: NDArray[np.floating]
    temperature: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class Step:
    """What a graph returns after the last token of each row.

    `s1` and `s2`, (rows,), are drawn; `s1_logits` and `s2_logits`, (rows, V), are those they are drawn from,
    the latter given `s1`.
    """

    s1: Int64Array
    s2: Int64Array
    s1_logits: Float32Array
    s2_logits: Float32Array


@dataclass(frozen=True)
class DecoderSessions:
    """The graphs of a bundle that run rows without events; `paths` is for rows that share a prefix."""

    decoder: ort.InferenceSession
    paths: ort.InferenceSession | None
    time: ort.InferenceSession

    @classmethod
    def of(cls, bundle: Path) -> Self:
        """Load the graphs."""
        branches = bundle / BRANCHES_FILE
        paths = cpu_session(branches) if branches.is_file() else None
        return cls(cpu_session(bundle / DECODER_FILE), paths, cpu_session(bundle / TIME_FILE))

    def conditioning(self, stamp: Int64Array) -> Float32Array:
        """Return the time embedding of (rows, length, 5) time fields, (rows · length, d_model)."""
        (embedding,) = self.time.run(["time_embedding"], {"stamp": stamp})
        width = embedding.shape[-1]
        return np.asarray(embedding.reshape(-1, width))


class DecoderRows:
    """Rows of equal length in one graph."""

    def __init__(
        self,
        session: ort.InferenceSession,
        conditioning: Float32Array,
        rows: int,
        capacity: int,
        prefix: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Allocate empty caches.

        Parameters
        ----------
        conditioning
            (N, d_model), what is added to the embeddings of tokens.
        rows, capacity
            Rows, and the most tokens that each will have.
        prefix
            Caches of a prefix that all rows share, by the names of the graph's inputs `prefix_…`.
        """
        self._session, self._rows, self._length = session, rows, 0
        inputs = {given.name: given for given in session.get_inputs()}
        self._types = {name: NUMPY_TYPES[given.type] for name, given in inputs.items()}
        self._caches = {
            name: np.zeros((rows, given.shape[1], capacity, given.shape[3]), self._types[name])
            for name, given in inputs.items()
            if name.startswith("past_")
        }
        self._prefix = dict(prefix or {})
        self._fixed: dict[str, NDArray[Any]] = {"conditioning": conditioning, "top_p": np.ones((rows, 1))}
        if "adapter_gate" in inputs:  # 0: the base model
            self._fixed["adapter_gate"] = np.zeros((rows, 1, 1))
        selectors = {"history": np.array(False), "shared_prefix": np.array(True)}
        self._fixed |= {name: value for name, value in selectors.items() if name in inputs}

    @classmethod
    def after(
        cls,
        sessions: DecoderSessions,
        history: "DecoderRows",
        conditioning: Float32Array,
        rows: int,
        steps: int,
    ) -> Self:
        """Return rows that continue one history by up to `steps` tokens each, in the graph for paths if any.

        Parameters
        ----------
        history
            A single row whose caches are full.
        """
        if sessions.paths is not None:
            prefix = {name.replace("past", "prefix"): cache for name, cache in history._caches.items()}
            return cls(sessions.paths, conditioning, rows, steps, prefix)
        length = history._length
        continued = cls(sessions.decoder, conditioning, rows, length + steps)
        for name, cache in history._caches.items():
            continued._caches[name][:, :, :length] = cache
        continued._length = length
        return continued

    @property
    def vocabulary(self) -> int:
        """Number of s1 tokens."""
        return next(int(out.shape[1]) for out in self._session.get_outputs() if out.name == "s1_logits")

    def take_in(
        self, sessions: DecoderSessions, s1: Int64Array, s2: Int64Array, position: Int64Array
    ) -> None:
        """Fill empty rows with tokens (rows, n) of histories, in the graph for histories if there is one."""
        if sessions.paths is None:
            self.feed(s1, s2, position, Sampling(np.zeros((self._rows, 2))))
            return
        outputs = [out.name for out in sessions.paths.get_outputs()]
        wanted = [name for name in outputs if name.startswith("present_")]
        for row in range(self._rows):
            one = slice(row, row + 1)
            given = {"s1": s1[one], "s2": s2[one], "position": position[one], "history": np.array(True)}
            given["conditioning"] = self._fixed["conditioning"]
            feeds: dict[str, NDArray[Any]] = {
                i.name: given.get(i.name, unread_input(i)).astype(NUMPY_TYPES[i.type])
                for i in sessions.paths.get_inputs()
            }
            for name, cache in zip(wanted, sessions.paths.run(wanted, feeds), strict=True):
                self._caches[name.replace("present", "past")][row, :, : s1.shape[1]] = cache[0]
        self._length = s1.shape[1]

    def feed(self, s1: Int64Array, s2: Int64Array, position: Int64Array, sampling: Sampling) -> Step:
        """Append tokens (rows, n) to every row; `position` (rows, n) are their rows of the conditioning."""
        step = self._run(s1, s2, position, sampling)
        self._length += s1.shape[1]
        return step

    def score(
        self, s1: Int64Array, s2: Int64Array, position: Int64Array, following: Int64Array
    ) -> tuple[Float32Array, Float32Array]:
        """Append tokens (rows, 1) and return the logits (rows, V) of s1 and, given `following`, of s2.

        The graph draws s1 itself and computes the logits of s2 for it. So the same step runs twice: the first
        run gives the logits of s1, and with them the uniform number that makes the second one draw
        `following` (rows,). Both write the same keys and values to the same place.

        Raises
        ------
        AccuracyError
            A logit is no number.
        """
        greedy = Sampling(np.zeros((self._rows, 2)), top_k=1)
        first = self._run(s1, s2, position, greedy)
        uniform = np.stack([forcing_draw(first.s1_logits, following), np.zeros(self._rows)], axis=1)
        # top_k of the vocabulary keeps every token, in the order of the logits.
        forced = self.feed(s1, s2, position, Sampling(uniform, FLAT_TEMPERATURE, self.vocabulary))
        if (forced.s1 != following).any():
            raise AccuracyError(
                "the decoder gives logits that are no numbers, or does not draw the token that a uniform "
                "number stands for; no bundle was written"
            )
        return forced.s1_logits, forced.s2_logits

    def _run(self, s1: Int64Array, s2: Int64Array, position: Int64Array, sampling: Sampling) -> Step:
        rows, count = s1.shape
        total = self._length + count
        values = self._fixed | {
            "s1": s1,
            "s2": s2,
            "position": position,
            "last_index": np.full((rows, 1), count - 1),
            "seqlens_k": np.full(rows, total - 1),
            "total_sequence_length": np.array([total]),
            "uniform": sampling.uniform,
            "temperature": np.full((rows, 1), sampling.temperature),
            "top_k": np.full((rows, 1), sampling.top_k),
        }
        binding = self._session.io_binding()
        for name, value in (values | self._prefix).items():
            binding.bind_cpu_input(name, np.ascontiguousarray(value, self._types[name]))
        for name in _OUTPUTS:
            binding.bind_output(name)
        for name, cache in self._caches.items():
            value = ort.OrtValue.ortvalue_from_numpy(cache)  # on the CPU it uses the array's memory
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past", "present"), value)
        self._session.run_with_iobinding(binding)
        # A view of a value does not keep it alive: copied.
        found = [value.numpy().copy() for value in binding.get_outputs()[: len(_OUTPUTS)]]
        return Step(found[0][:, 0], found[1][:, 0], found[2], found[3])


def forcing_draw(logits: Float32Array, tokens: Int64Array) -> Float32Array:
    """Return the uniform numbers (B,) that make the graph draw these tokens at `FLAT_TEMPERATURE`.

    The graph orders tokens by falling logit, ties by index (`export.sampling`). At that temperature each has
    a share of 1 / V, so the middle of a token's share follows from its place in that order.

    Parameters
    ----------
    logits, tokens
        (B, V) and (B,).
    """
    chosen = np.take_along_axis(logits, tokens[:, None], axis=1)
    before = np.arange(logits.shape[1]) < tokens[:, None]
    place = ((logits > chosen) | ((logits == chosen) & before)).sum(axis=1)
    return np.asarray((place + 0.5) / logits.shape[1], np.float32)


def negative_log_likelihood(logits: Float32Array, tokens: Int64Array) -> Float64Array:
    """Return −log softmax(logits)[token] in nats: (B, V) and (B,) to (B,)."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    log_sum = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    return np.asarray(log_sum - np.take_along_axis(wide, tokens[:, None], axis=1)[:, 0])
