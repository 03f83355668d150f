"""Defines the Prometheus metrics of the server."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

# From an error, returned in a millisecond, to a context that slides at every step on a CPU.
_REQUEST_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_QUEUE_S = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300)
_PREFILL_S = (0.001, 0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# From the smallest model alone to the largest one with a full batch.
_STEP_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_DATABASE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one server in its own registry; every method may be called from any thread."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "kronos_requests",
            'Requests by route and outcome: an HTTP status, or "gone" if the client closed its connection',
            ("route", "outcome"),
            registry=registry,
        )
        self._request_s = Histogram(
            "kronos_request_seconds",
            "Time from a request's head to the end of its answer",
            ("route",),
            buckets=_REQUEST_S,
            registry=registry,
        )
        self._refusals = Counter(
            "kronos_refusals",
            "Refusals and errors by the name in the problem's type; in a batch each symbol counts",
            ("reason",),
            registry=registry,
        )
        # A counter that begins at 1 does not look like an increase: those that alerts watch begin at 0.
        for reason in ("internal-error", "queue-full", "deadline-exceeded"):
            self._refusals.labels(reason)
        self._queue_s = Histogram(
            "kronos_queue_seconds",
            "Time that a forecast waited before its first prefill",
            buckets=_QUEUE_S,
            registry=registry,
        )
        self._prefill_s = Histogram(
            "kronos_prefill_seconds",
            "Time of one prefill, which reads candles into the cache",
            buckets=_PREFILL_S,
            registry=registry,
        )
        self._prefill_tokens = Counter(
            "kronos_prefill_tokens", "Tokens (candles) read into the cache by prefills", registry=registry
        )
        self._step_s = Histogram(
            "kronos_step_seconds",
            "Time of one step, which makes one candle for each row of the running batch",
            buckets=_STEP_S,
            registry=registry,
        )
        self._step_rows = Histogram(
            "kronos_step_rows",
            "Rows in the batch of a step; its sum counts the tokens (candles) made",
            buckets=_ROWS,
            registry=registry,
        )
        self._queued_jobs = Gauge("kronos_queue_jobs", "Waiting forecasts", registry=registry)
        self._slots_used = Gauge("kronos_slots_used", "Slots that hold a running row", registry=registry)
        self._slots = Gauge("kronos_slots", "Number of slots", registry=registry)
        self._cache_used = Gauge(
            "kronos_cache_used_bytes", "Cache memory of running forecasts", registry=registry
        )
        self._cache = Gauge(
            "kronos_cache_bytes", "Cache memory in total (KRONOS_CACHE_BYTES)", registry=registry
        )
        self._database_s = Histogram(
            "kronos_database_seconds",
            "Time of a read of the database with the wait for a connection, by outcome: ok or failed",
            ("outcome",),
            buckets=_DATABASE_S,
            registry=registry,
        )
        for outcome in ("ok", "failed"):
            self._database_s.labels(outcome)
        self._bundle = Info("kronos_bundle", "The bundle being served and its device", registry=registry)
        self._fallback = Gauge(
            "kronos_device_fallback",
            "1 where the CPU runs a bundle that a GPU should run; the log says why",
            registry=registry,
        )
        self._graphs = Gauge("kronos_cuda_graphs", "Captured CUDA graphs", registry=registry)
        self._graph_bytes = Gauge(
            "kronos_cuda_graphs_bytes", "GPU memory of the CUDA graphs", registry=registry
        )

    def queued(self, seconds: float) -> None:
        """Record the time that a forecast waited before its first prefill."""
        self._queue_s.observe(seconds)

    def prefilled(self, seconds: float, tokens: int) -> None:
        """Record a prefill and its tokens over all rows."""
        self._prefill_s.observe(seconds)
        self._prefill_tokens.inc(tokens)

    def stepped(self, seconds: float, rows: int) -> None:
        """Record a step of the running batch, which generates one token for each row."""
        self._step_s.observe(seconds)
        self._step_rows.observe(rows)

    def queue_depth(self, jobs: int) -> None:
        """Set the number of waiting forecasts."""
        self._queued_jobs.set(jobs)

    def slots(self, used: int, total: int) -> None:
        """Set the number of slots that hold a row, and of all slots."""
        self._slots_used.set(used)
        self._slots.set(total)

    def cache_bytes(self, used: int, total: int) -> None:
        """Set the bytes of cache memory in use, and of all cache memory."""
        self._cache_used.set(used)
        self._cache.set(total)

    def bundle(self, name: str, version: str, precision: str, device: str, device_name: str) -> None:
        """Set the bundle being served and its device, replacing the previous one."""
        labels = {"name": name, "version": version, "precision": precision}
        self._bundle.info(labels | {"device": device, "device_name": device_name})

    def device(self, fallback: bool, graphs: int, graph_bytes: int) -> None:
        """Set whether the CPU replaces a GPU, and the number and memory of the CUDA graphs."""
        self._fallback.set(fallback)
        self._graphs.set(graphs)
        self._graph_bytes.set(graph_bytes)

    def answered(self, route: str, outcome: str, seconds: float) -> None:
        """Record a request: its route's path template, the status of its answer (or "gone"), its time."""
        self._requests.labels(route, outcome).inc()
        self._request_s.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a refusal by the name of its problem type."""
        self._refusals.labels(reason).inc()

    @contextmanager
    def database_read(self) -> Iterator[None]:
        """Time a database read; it counts as failed if an exception is raised."""
        started, outcome = perf_counter(), "failed"
        try:
            yield
            outcome = "ok"
        finally:
            self._database_s.labels(outcome).observe(perf_counter() - started)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)
