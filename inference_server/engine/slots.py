"""Slots of the cache: rows of many jobs that step together."""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from inference_server.engine.decoder import Decoder, Sampling, Tokens
from inference_server.engine.sequence import EncodedHistory, SamplePath, SequenceGroup
from inference_server.engine.step_loop import Buckets, Caches, StepLoop
from market.types import Float32Array, Int64Array

# Steps that are prepared at once, unless a row is added or removed earlier.
BURST = 32


class Slots:
    """Rows in slots of max_context tokens: the first ones step, the others wait for a refill.

    A row whose context is *full* cannot step: dropping its oldest tokens changes every hidden state, so that
    its cache is worthless. It keeps its claim on a slot until its window has been prefilled again. Where
    a graph reads shared histories, jobs whose context slides have a lane of their own (`windows.py`).
    """

    def __init__(
        self, decoder: Decoder, count: int, max_context: int, buckets: Buckets | None = None
    ) -> None:
        self.decoder, self.count, self.max_context = decoder, count, max_context
        self._buckets = buckets
        self.stepping: list[SamplePath] = []
        self.full: deque[SamplePath] = deque()
        self._loop: StepLoop | None = None

    @property
    def free(self) -> int:
        """Slots without a row."""
        return self.count - len(self.stepping) - len(self.full)

    @property
    def tokens(self) -> int:
        """Tokens of cache in use."""
        return sum(path.cached for path in self.stepping)

    def add(self, paths: Sequence[SamplePath]) -> None:
        """Prefill the history of one job's paths, once for all of them; from then on they step."""
        self._write_back()
        history, row = paths[0].group.history, len(self.stepping)
        cached = min(len(history), self.max_context) - 1
        tokens = history_tokens(history, cached)
        if self.decoder.takes_in_rows:
            self.decoder.take_in_row(tokens, self.max_context, row)
        else:
            self.decoder.prefill(tokens, self.max_context, row * self.max_context)
        self.decoder.pool.copy(self.max_context, row, row + 1, len(paths) - 1, cached)
        for path in paths:
            path.cached = cached
        self.stepping.extend(paths)

    def step(self, *, alone: bool = True) -> tuple[list[SamplePath], int]:
        """Advance every stepping row by a token or, on a GPU, by a few.

        Parameters
        ----------
        alone
            Whether no job waits for slots: then many steps are prepared at once.

        Returns
        -------
        finished, steps
            The rows that reached their horizon and were removed, and how many tokens each row got.
        """
        if self._loop is None or self._loop.done == self._loop.steps:
            self._write_back()
            self._loop = self._prepare(BURST if alone else 1)
        steps = min(self.decoder.device.work.steps, self._loop.steps - self._loop.done)
        for _ in range(steps):
            self._loop.step()
        # The time of this unit of work is taken here: the device must have done all of it.
        self.decoder.device.wait()
        if self._loop.done < self._loop.steps:
            return [], steps
        self._write_back()
        return self._remove_rows(lambda path: path.finished or self._is_full(path)), steps

    def refill(self) -> list[SamplePath]:
        """Prefill the windows of full rows of one job again, and draw one token each.

        Returns
        -------
        list of SamplePath
            The rows that reached their horizon with that token and were removed; the others step on.
        """
        self._write_back()
        rows = self._next_to_refill()
        window = self.max_context + 1 - rows[0].group.job.context_stride
        first_slot = len(self.stepping)
        s1, s2 = self.decoder.prefill(
            _windows(rows, window),
            self.max_context,
            first_slot * self.max_context,
            sampling_of(rows),
            np.array([path.draws[path.done] for path in rows]),
        )
        for path, a, b in zip(rows, s1, s2, strict=True):
            path.group.s1[path.index, path.done] = a
            path.group.s2[path.index, path.done] = b
            path.done, path.cached = path.done + 1, window
        self.stepping.extend(rows)
        return self._remove_rows(lambda path: path.finished or self._is_full(path))

    def remove(self, group: SequenceGroup) -> None:
        """Remove a job's rows."""
        self._write_back()
        self._remove_rows(lambda path: path.group is group, refill=False)
        self.full = deque(path for path in self.full if path.group is not group)

    def _is_full(self, path: SamplePath) -> bool:
        return path.cached == self.max_context and not path.finished

    def _prepare(self, most: int) -> StepLoop:
        rows = self.stepping
        # Until the first row reaches its horizon or the end of its context.
        steps = min(
            most,
            *(p.group.job.pred_len - p.done for p in rows),
            *(self.max_context - p.cached for p in rows),
        )
        pairs = np.array([path.latest() for path in rows])
        # Paths of one job with equally many tokens share their rows of conditioning.
        places: dict[tuple[SequenceGroup, int], int] = {}
        for path in rows:
            places.setdefault((path.group, path.done), len(places))
        first = steps * np.array([places[path.group, path.done] for path in rows])
        tokens = Tokens(
            pairs[:, :1],
            pairs[:, 1:],
            first[:, None] + np.arange(steps),
            np.concatenate([group.history.conditioning_from(done, steps) for group, done in places]),
            gates_of(rows),
        )
        return StepLoop(
            self.decoder,
            Caches(self.max_context),
            np.array([path.cached for path in rows]),
            tokens,
            sampling_of(rows),
            np.stack([path.draws[path.done : path.done + steps] for path in rows]),
            None if self._buckets is None else self._buckets.of(len(rows)),
        )

    def _write_back(self) -> None:
        """Write the tokens drawn so far to their groups; then rows may be added or removed."""
        if self._loop is None:
            return
        done, (s1, s2) = self._loop.done, self._loop.generated()
        for path, a, b in zip(self.stepping, s1, s2, strict=True):
            drawn = slice(path.done, path.done + done)
            path.group.s1[path.index, drawn] = a
            path.group.s2[path.index, drawn] = b
            path.done, path.cached = path.done + done, path.cached + done
        self._loop = None

    def _remove_rows(self, removes: Callable[[SamplePath], bool], refill: bool = True) -> list[SamplePath]:
        """Take rows out of the stepping ones; return them, but for those that wait for a refill.

        The last row moves into the gap, so that the stepping rows stay one block.
        """
        removed: list[SamplePath] = []
        for slot in reversed(range(len(self.stepping))):
            if not removes(self.stepping[slot]):
                continue
            path, last = self.stepping[slot], self.stepping.pop()
            if last is not path:
                self.decoder.pool.copy(self.max_context, len(self.stepping), slot, 1, last.cached)
                self.stepping[slot] = last
            if refill and self._is_full(path):
                self.full.append(path)
            else:
                removed.append(path)
        return removed

    def _next_to_refill(self) -> list[SamplePath]:
        """Parked rows of the job that has waited longest, as many as one refill runs."""
        first = self.full[0]
        window = self.max_context + 1 - first.group.job.context_stride
        most = max(1, self.decoder.device.work.refill_tokens // window)
        rows = [path for path in self.full if path.group is first.group and path.done == first.done]
        rows = rows[:most]
        for path in rows:
            self.full.remove(path)
        return rows


def history_tokens(history: EncodedHistory, count: int) -> Tokens:
    """Return the `count` tokens before a history's last one: the first step takes that one in."""
    end = len(history) - 1
    at = slice(end - count, end)
    return Tokens(
        history.s1[None, at],
        history.s2[None, at],
        np.arange(count)[None],
        history.conditioning[at],
        np.full(1, history.has_events, np.float32),
    )


def gates_of(rows: Sequence[SamplePath]) -> Float32Array:
    """Return 1 for each row that has events, else 0."""
    return np.array([path.group.history.has_events for path in rows], np.float32)


def sampling_of(rows: Sequence[SamplePath]) -> Sampling:
    """Return how each row draws."""
    jobs = [path.group.job for path in rows]
    return Sampling(
        np.array([job.temperature for job in jobs], np.float32),
        np.array([job.top_k for job in jobs], np.int64),
        np.array([job.top_p for job in jobs], np.float32),
    )


def _windows(rows: Sequence[SamplePath], window: int) -> Tokens:
    """Return the last `window` tokens of paths of one job with equally many tokens."""
    group, done = rows[0].group, rows[0].done
    history = group.history
    index = [path.index for path in rows]

    def last(past: Int64Array, drawn: Int64Array) -> Int64Array:
        return np.concatenate([np.tile(past, (len(rows), 1)), drawn[index, :done]], axis=1)[:, -window:]

    end = len(history) + done
    return Tokens(
        last(history.s1, group.s1),
        last(history.s2, group.s2),
        np.tile(np.arange(window), (len(rows), 1)),
        history.conditioning[end - window : end],
        gates_of(rows),
    )
