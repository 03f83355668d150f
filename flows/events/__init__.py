"""Event arrays: the 20 channels that tell a forecast of the economic calendar and of the leading markets."""

from flows.events.build import EventRequest, EventResult, build_event_arrays
from flows.events.config import EventConfig, EventError, load_config
from flows.events.leaders import Leaders

__all__ = [
    "EventConfig",
    "EventError",
    "EventRequest",
    "EventResult",
    "Leaders",
    "build_event_arrays",
    "load_config",
]
