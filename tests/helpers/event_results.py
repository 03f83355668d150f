"""Returns the array and the context of an event result, which must have them."""

from typing import Any

from flows.events import EventResult
from market.types import Float32Array


def array_of(result: EventResult) -> Float32Array:
    assert result.array is not None, result.error
    return result.array


def context_of(result: EventResult) -> dict[str, Any]:
    assert result.context is not None
    return result.context
