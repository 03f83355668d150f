"""Event arrays: the 20 channels with the economic calendar and the leading markets beside the candles."""

from flows.events.build import EventResult, build_event_arrays
from flows.events.config import EventConfig, EventError, load_config
from flows.events.leaders import Leaders
from flows.events.request import EventRequest

__all__ = [
    "EventConfig",
    "EventError",
    "EventRequest",
    "EventResult",
    "Leaders",
    "build_event_arrays",
    "load_config",
]
