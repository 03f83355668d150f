"""How many jobs wait, how many may, and when a refused caller should try again."""

import math
import threading

from inference_server.errors import QueueFull
from inference_server.metrics import Metrics

LONGEST_RETRY_S = 60


class Admission:
    """Counts the jobs that wait; called from the event loop and from the engine's thread.

    Parameters
    ----------
    limit
        Jobs that may wait; more are refused.
    metrics
        Gets the number of jobs that wait.
    """

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit, self._metrics = limit, metrics
        self._lock = threading.Lock()
        self._seconds_per_job = 0.0
        self.waiting = 0

    def admit(self, count: int) -> None:
        """Count jobs as waiting.

        Raises
        ------
        QueueFull
            If there is no room for all of them; none is counted.
        """
        with self._lock:
            # An empty queue takes any request that the limits let through: it would never fit otherwise.
            if self.waiting and self.waiting + count > self._limit:
                # After this time half of the queue has begun.
                seconds = math.ceil(self.waiting * self._seconds_per_job / 2)
                raise QueueFull(max(1, min(LONGEST_RETRY_S, seconds)))
            self.waiting += count
        self._metrics.queue_depth(self.waiting)

    def release(self, count: int) -> None:
        """Count jobs as waiting no more: they have begun, or will not be run."""
        with self._lock:
            self.waiting -= count
        self._metrics.queue_depth(self.waiting)

    def record_duration(self, seconds: float) -> None:
        """Update the moving average of the seconds in which the engine finishes one job."""
        self._seconds_per_job += 0.2 * (seconds - self._seconds_per_job)
