"""Jobs whose context slides: all their paths share what they have in common of each window."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from inference_server.engine.decoder import Decoder, Prefixes, Tokens
from inference_server.engine.device import Work
from inference_server.engine.lanes import ModelLane, Observer
from inference_server.engine.model import Model, Region
from inference_server.engine.sequence import SamplePath, SequenceGroup, Status
from inference_server.engine.slots import gates_of, sampling_of
from inference_server.engine.step_loop import Caches, StepLoop
from market.types import Int64Array


@dataclass(frozen=True)
class Unit:
    """One unit of work: how many tokens were taken in, or how many paths advanced by one token."""

    tokens: int = 0
    rows: int = 0


class WindowRound:
    """What happens between two moves of a window: it is taken in, and every path draws until it is full.

    The window of a path is the end of its history and the tokens that it drew. All paths of a job share the
    first part, and attention is causal: it is taken in once, and each path's own tokens behind it. Where the
    own tokens fill the window, each path has a first part of its own. A single path shares nothing: its
    window is taken in and drawn from in one run, which takes a tenth less time, unless its cache is 8-bit.
    """

    def __init__(
        self, decoder: Decoder, paths: list[SamplePath], max_context: int, region: Region, work: Work
    ) -> None:
        """Prepare a round of the paths of one job, all of which have drawn equally many tokens."""
        self._decoder, self._paths = decoder, paths
        self._group, done = paths[0].group, paths[0].done
        history, job = self._group.history, self._group.job
        window = max_context + 1 - job.context_stride if done else min(len(history), max_context)
        self._end = len(history) + done
        # The first step takes the newest token in, so the history alone lacks its last one.
        own = max(1, done)
        self._shares = own < window
        self._own = own if self._shares else 1
        if job.sample_count == 1 and not decoder.takes_in_rows:
            self._own = window
        self._shared = window - self._own
        #: Tokens that each path draws in this round.
        self.draws = min(max_context - window + 1, job.pred_len - done)
        self._first_token = region.first
        self._prefixes = Prefixes(self._shared, region.first) if self._shared else None
        room = (region.tokens - self._shared) // (self._own + self.draws - 1)
        self._most = min(room, max(1, work.refill_tokens // self._own)) if self._shares else 1

    def units(self) -> Iterator[Unit]:
        """Do the round, a unit of work at a time."""
        for first in range(0, len(self._paths), self._most):
            paths = self._paths[first : first + self._most]
            if self._prefixes and (first == 0 or not self._shares):
                row = paths[0]
                self._decoder.take_in(self._tokens([row], self._shared, self._own), self._prefixes)
                yield Unit(tokens=self._shared)
            yield from self._drawn(paths)

    def _drawn(self, paths: list[SamplePath]) -> Iterator[Unit]:
        """Take in the own tokens of some paths, and let them draw the tokens of this round."""
        capacity = self._own + self.draws - 1
        first_token = self._first_token + self._shared
        s1, s2 = self._decoder.prefill(
            self._tokens(paths, self._own, 0),
            capacity,
            first_token,
            sampling_of(paths),
            np.array([path.draws[path.done] for path in paths]),
            self._prefixes,
        )
        self._write(paths, s1[:, None], s2[:, None])
        yield Unit(tokens=self._own * len(paths))
        steps = self.draws - 1
        if not steps:
            return
        done = paths[0].done
        latest = np.array([path.latest() for path in paths])
        loop = StepLoop(
            self._decoder,
            Caches(capacity, first_token, self._prefixes),
            np.full(len(paths), self._own),
            Tokens(
                latest[:, :1],
                latest[:, 1:],
                np.tile(np.arange(steps), (len(paths), 1)),
                self._group.history.conditioning_from(done, steps),
                gates_of(paths),
            ),
            sampling_of(paths),
            np.stack([path.draws[path.done : path.done + steps] for path in paths]),
        )
        for _ in range(steps):
            loop.step()
            yield Unit(rows=len(paths))
        self._write(paths, *loop.generated())

    def _tokens(self, paths: list[SamplePath], count: int, before_end: int) -> Tokens:
        """Return `count` tokens of each path's window, the last of which has so many behind it."""
        group, history = self._group, self._group.history
        index = [path.index for path in paths]
        stop = self._end - before_end

        def part(past: Int64Array, drawn: Int64Array) -> Int64Array:
            own = drawn[index, : max(0, stop - len(past))]
            return np.concatenate([np.tile(past[:stop], (len(paths), 1)), own], axis=1)[:, -count:]

        return Tokens(
            part(history.s1, group.s1),
            part(history.s2, group.s2),
            np.tile(np.arange(count), (len(paths), 1)),
            history.conditioning[stop - count : stop],
            gates_of(paths),
        )

    @staticmethod
    def _write(paths: list[SamplePath], s1: Int64Array, s2: Int64Array) -> None:
        for path, a, b in zip(paths, s1, s2, strict=True):
            drawn = slice(path.done, path.done + len(a))
            path.group.s1[path.index, drawn], path.group.s2[path.index, drawn] = a, b
            path.done += len(a)


class WindowLane(ModelLane):
    """Jobs whose context slides, a round at a time: the caller that has had the least time is next."""

    def __init__(self, model: Model, observer: Observer, clock: Callable[[], float]) -> None:
        super().__init__(model, observer, clock)
        self._groups: dict[SequenceGroup, list[SamplePath]] = {}
        self._current: SequenceGroup | None = None
        self._round: Iterator[Unit] = iter(())

    @property
    def has_work(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._to_detokenise or self._groups)

    @property
    def tokens(self) -> int:
        """Tokens of cache that rounds of the jobs that have begun may use."""
        return self._model.regions.windows.tokens if any(self._groups.values()) else 0

    def add(self, group: SequenceGroup) -> None:
        """Queue a group."""
        self._groups[group] = []

    def remove(self, group: SequenceGroup) -> None:
        """Drop a group."""
        self._groups.pop(group, None)
        if group in self._to_detokenise:
            self._to_detokenise.remove(group)
        if group is self._current:
            self._current = None

    def run(self) -> list[SequenceGroup]:
        """Detokenise, encode, or do a part of a job's round."""
        if self._to_detokenise:
            return self._detokenise()
        group = self._current
        if group is None:
            group = min(self._groups, key=lambda waiting: (waiting.caller.engine_s, waiting.order))
            if group.status is Status.WAITING:
                self._encode(group)
                self._groups[group] = group.new_paths(group.job.sample_count)
                return [group]
            self._current, self._round = group, self._new_round(self._groups[group]).units()
        begun = self._clock()
        unit = next(self._round, None)
        if unit is None:
            self._end_round(group)
            return [group]
        took = self._clock() - begun
        group.status = Status.RUNNING
        if unit.rows:
            self._observer.stepped(took, unit.rows)
            group.largest_batch = max(group.largest_batch, unit.rows)
        else:
            self._observer.prefilled(took, unit.tokens)
        return [group]

    def _new_round(self, paths: list[SamplePath]) -> WindowRound:
        model = self._model
        return WindowRound(model.decoder, paths, model.max_context, model.regions.windows, model.device.work)

    def _end_round(self, group: SequenceGroup) -> None:
        self._current = None
        if all(path.finished for path in self._groups[group]):
            del self._groups[group]
            self._tokens_complete(group)
