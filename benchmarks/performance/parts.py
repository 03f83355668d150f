"""The parts of the measurement, by the names that the command takes."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from benchmarks.models import PUBLISHED
from benchmarks.performance import accuracy, batch, floors, growth, memory, operators, sizing, upstream

Part = Callable[[], list[dict[str, Any]]]

PARTS: Final[dict[str, Part]] = {
    "floors": floors.measure,
    "profile": operators.measure,
    **{f"upstream-{size}": partial(upstream.exact, size) for size in PUBLISHED},
    **{f"sliding-{size}": partial(upstream.sliding, size) for size in PUBLISHED},
    **{f"batch-{size}": partial(batch.measure, size) for size in sizing.SIZES},
    **{f"growth-{axis}": partial(growth.measure, axis) for axis in growth.AXES},
    "growth-clients": growth.measure_clients,
    "memory": memory.measure,
    "accuracy": accuracy.measure,
}
