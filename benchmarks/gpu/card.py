"""The card to measure: its engines, its timings, its versions, and jobs for it."""

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from benchmarks.gpu.models import bundle
from inference_server.engine.bundle import load_manifest
from inference_server.engine.cuda import CudaDevice
from inference_server.engine.devices import gpu
from inference_server.engine.engine import Engine
from inference_server.engine.jobs import ForecastJob


@dataclass(frozen=True)
class Card:
    """A card, the sizes to measure, and the number of runs of which the median is taken."""

    device: CudaDevice
    sizes: tuple[str, ...]
    repeat: int

    def engine(self, size: str, *, cuda_graphs: bool = True) -> Engine:
        """The warmed engine of a size on this card, with CUDA graphs or without."""
        return _engine(size, self.device.index, cuda_graphs)

    def seconds(self, run: Callable[[], Any]) -> float:
        """Median time of a run until the card has finished it."""
        times = []
        for _ in range(self.repeat):
            start = time.perf_counter()
            run()
            self.device.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)


@cache
def _engine(size: str, index: int, cuda_graphs: bool) -> Engine:
    folder = bundle(size)
    engine = Engine(folder, load_manifest(folder), gpu(index, cuda_graphs))
    engine.warm_up()
    return engine


def facts(device: CudaDevice) -> dict[str, str]:
    """Card, driver and versions."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return {
        "card": device.name,
        "driver": driver,
        "CUDA": f"{device.versions['runtime']} (the driver knows {device.versions['driver']})",
        "onnxruntime": ort.__version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def job(length: int, pred_len: int, walk: int = 0, events: bool = False, **settings: Any) -> ForecastJob:
    """A job on a random walk of hourly candles."""
    random = np.random.default_rng(walk)
    hours = np.arange(length + pred_len).astype("datetime64[h]").astype("datetime64[us]")
    candles = 100 + random.normal(size=(length, 6)).cumsum(0)
    rows = random.normal(size=(length + pred_len, 20)).astype(np.float32) if events else None
    return ForecastJob(candles, hours[:length], hours[length:], events=rows, **settings)
