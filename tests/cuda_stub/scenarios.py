"""What is run over the stand-in CUDA libraries, each in a process of its own.

``python -m tests.cuda_stub.scenarios NAME ARGUMENT …`` prints JSON; the log of the stand-ins tells the rest.
"""

import asyncio
import ctypes
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inference_server.engine.bundle import MANIFEST_FILE, Manifest, load_manifest
from inference_server.engine.calls import GeneratedPaths
from inference_server.engine.decoder import Decoder
from inference_server.engine.device import CpuDevice
from inference_server.engine.devices import DeviceChoice, gpu, load_engine
from inference_server.engine.engine import Engine
from inference_server.engine.scheduler import Scheduler
from inference_server.engine.slots import BURST
from inference_server.engine.step_loop import Buckets
from inference_server.errors import EngineFailed
from inference_server.metrics import Metrics
from tests.helpers.jobs import hourly_job

CACHE = 1 << 28
JOBS = {
    "20 paths": [hourly_job(400, 60, sample_count=20)],
    "1 path": [hourly_job(300, 120)],
    "sliding": [hourly_job(400, 120, sample_count=5)],
    "mixed": [hourly_job(400, 20, sample_count=3), hourly_job(200, 30, sample_count=4, events=True)],
    # again: what is new at the first time is not new any more
    "20 paths again": [hourly_job(400, 60, sample_count=20)],
}


class Stub:
    """The stand-in of libcudart, from inside the process that uses it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcudart.so.13")

    def note(self, text: str) -> None:
        """Begin a part of the log."""
        self._library.stub_note(text.encode())

    def memory(self, size: int) -> None:
        """Make the card so large; what is taken stays taken."""
        self._library.stub_memory(ctypes.c_size_t(size))

    def lose_device(self) -> None:
        """Let every call fail from now on."""
        self._library.stub_lose_device()


def jobs(bundle: str, graphs: str) -> Any:
    """Load a bundle and run all kinds of jobs; their paths' shapes."""
    device = gpu(0, graphs == "graphs")
    stub = Stub()
    stub.note("load")
    engine = Engine(Path(bundle), load_manifest(Path(bundle)), device, CACHE)
    stub.note("warm up")
    engine.warm_up()
    shapes = {}
    for name, batch in JOBS.items():
        stub.note(name)
        shapes[name] = [paths.shape for paths in engine.forecast(batch)]
    stub.note("end")
    return {"device": device.name, "graphs": engine.graph_count, "shapes": shapes}


def step(folder: str, rows: str) -> Any:
    """Capture the step of a decoder alone, for so many rows."""
    device = gpu(0, True)
    stub = Stub()
    manifest = msgspec.json.decode((Path(folder) / MANIFEST_FILE).read_bytes(), type=Manifest)
    decoder = Decoder(device, Path(folder), manifest)
    decoder.allocate(int(rows) * manifest.max_context)
    buckets = Buckets(decoder, manifest.max_context, int(rows), BURST)
    stub.note("capture")
    buckets.capture(decoder)
    return len(buckets)


def memory(bundle: str, cache_bytes: str) -> Any:
    """Load and warm an engine twice over, as a reload does; what the card and the caches hold after each."""
    device = gpu(0, True)
    given = int(cache_bytes) or None
    free = [device.free_bytes]
    first = Engine(Path(bundle), load_manifest(Path(bundle)), device, given)
    first.warm_up()
    free.append(device.free_bytes)
    second = Engine(Path(bundle), load_manifest(Path(bundle)), device, given)
    second.warm_up()
    caches = [first.cache_bytes, second.cache_bytes]
    slots = first.slot_count
    del first
    gc.collect()
    free.append(device.free_bytes)
    del second
    gc.collect()
    free.append(device.free_bytes)
    return {"free": free, "caches": caches, "slots": slots}


def choose(bundle: str, kind: str) -> Any:
    """Load a bundle as the server does."""
    engine = load_engine(Path(bundle), DeviceChoice(kind), CpuDevice(1, CACHE))
    return {
        "device": engine.device.kind,
        "name": engine.device.name,
        "fallback": engine.fallback,
        "graphs": engine.graph_count > 0,
    }


def recover(bundle: str, fault: str) -> Any:
    """Let the card fail while a scheduler runs jobs; what callers are told, before, at and after it."""
    told: list[str] = []
    ended: list[bool] = []
    engines: list[int] = []

    def load(cache_bytes: int | None) -> Engine:
        engine = load_engine(
            Path(bundle), DeviceChoice("cuda"), CpuDevice(1), cache_bytes=cache_bytes or CACHE
        )
        engines.append(engine.cache_bytes)
        return engine

    async def ask(scheduler: Scheduler, length: int = 64) -> None:
        try:
            (outcome,) = await scheduler.forecast([hourly_job(length, 8, sample_count=2)], 60)
            told.append("a forecast" if isinstance(outcome, GeneratedPaths) else str(outcome))
        except EngineFailed as error:
            told.append(f"{error.status} {error.name}")

    async def run() -> None:
        scheduler = Scheduler(load, 10, Metrics(), lambda: ended.append(True))
        engine = await scheduler.start()
        stub = Stub()
        stub.note("serving")
        await ask(scheduler)
        if fault == "lost":
            stub.lose_device()
        else:
            stub.memory(1 << 20)
        del engine
        # A prompt of a new length needs memory that ONNX Runtime has not taken yet.
        await ask(scheduler, 500)
        if fault == "memory":
            stub.memory(78 << 30)
            async with asyncio.timeout(60):
                while scheduler._thread.engine is None:
                    await asyncio.sleep(0.02)
        await ask(scheduler)
        scheduler.close()

    asyncio.run(run())
    return {"told": told, "ended": len(ended), "caches": engines}


SCENARIOS: dict[str, Callable[..., Any]] = {
    one.__name__: one for one in (jobs, step, memory, choose, recover)
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    np.seterr(all="ignore")  # of kernels that do nothing come zeros
    print(json.dumps(SCENARIOS[name](*arguments)))
