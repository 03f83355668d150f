"""CPU time and peak memory of processes and their children, sampled while they run."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

EVERY_S = 0.25


@dataclass
class Usage:
    """What a process and its children took, those that have ended included up to their last sample."""

    peak_mb: float = 0.0
    cpu_of: dict[int, float] = field(default_factory=dict)

    @property
    def cpu_s(self) -> float:
        return sum(self.cpu_of.values())


class Sampler:
    """Samples processes by name until the end of the block."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self.usage = {name: Usage() for name in processes}
        self._roots = dict(processes)
        self._before: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._before = {each.pid: _cpu_s(each) for root in self._roots.values() for each in _tree(root)}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            ended = self._ended.wait(EVERY_S)
            for name, root in self._roots.items():
                self._sample(self.usage[name], root)
            if ended:
                return

    def _sample(self, usage: Usage, root: int) -> None:
        resident = 0
        for each in _tree(root):
            with suppress(psutil.NoSuchProcess):
                usage.cpu_of[each.pid] = _cpu_s(each) - self._before.get(each.pid, 0.0)
                resident += each.memory_info().rss
        usage.peak_mb = max(usage.peak_mb, resident / 1e6)


def _tree(root: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
