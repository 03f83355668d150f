"""A small HTTP server that answers as the inference server does, and fails as told: for error paths only."""

import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import numpy as np

from inference_server.forecast.statistics_answer import statistics_of, wants_statistics
from inference_server.schemas import (
    FeatureColumns,
    Limits,
    ModelInfo,
    ModelName,
    PredictAnswer,
    PredictRequest,
    Problem,
)
from market.envelope import envelope
from market.event_channels import EVENT_CHANNELS, EVENT_SCHEMA

MODEL = ModelInfo(
    name="stand-in",
    version="v1",
    precision="fp32",
    max_context=512,
    has_events=True,
    event_schema=EVENT_SCHEMA,
    event_alignment="same",
    event_channels=list(EVENT_CHANNELS),
    limits=Limits(
        min_candles=32,
        max_pred_len=512,
        max_sample_count=256,
        max_lookback=4096,
        max_batch_symbols=100,
        max_body_bytes=2**25,
    ),
    manifest={},
)


TIMES = {"X-Queue-Ms": "2.0", "X-Inference-Ms": "30.4"}
"""Headers of every answer."""


@dataclass
class Script:
    """What the server answers, and what it was asked.

    Attributes
    ----------
    model
        Answer of GET /model.
    model_statuses
        Statuses of the calls of /model to come; 200 once they are used up.
    model_calls
        Number of calls of /model.
    statuses
        By symbol, the statuses of the calls to come; 200 once they are used up.
    retry_after
        By symbol, the Retry-After of its failures.
    slow_s
        By symbol, seconds before each answer.
    requests
        Every request of /predict in the order of arrival.
    models_after
        By number of requests, the model that is served from that request on.
    warnings
        By symbol, what its answers warn of.
    without_events
        Symbols whose events are left out.
    without_statistics
        Whether the server is of a version that knows no statistics.
    """

    model: ModelInfo = MODEL
    model_statuses: list[int] = field(default_factory=list)
    model_calls: int = 0
    statuses: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    retry_after: dict[str, str] = field(default_factory=dict)
    slow_s: dict[str, float] = field(default_factory=dict)
    requests: list[PredictRequest] = field(default_factory=list)
    models_after: dict[int, ModelInfo] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    without_events: set[str] = field(default_factory=set)
    without_statistics: bool = False

    @property
    def calls(self) -> Counter[str]:
        """Calls of /predict by symbol."""
        return Counter(request.symbol for request in self.requests)


@contextmanager
def stand_in_server(script: Script, port: int = 0) -> Iterator[str]:
    """Serve a script on a port, a free one unless given, and give its address."""
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with counting:
                script.model_calls += 1
                status = script.model_statuses.pop(0) if script.model_statuses else 200
            if status == 200:
                self.reply(200, script.model)
            else:
                self.reply(status, Problem(title="Told to fail", status=status, detail="/model fails"))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = msgspec.json.decode(body, type=PredictRequest)
            with counting:
                script.requests.append(request)
                script.model = script.models_after.get(len(script.requests), script.model)
                model = script.model
            time.sleep(script.slow_s.get(request.symbol, 0.0))
            status = script.statuses[request.symbol].pop(0) if script.statuses[request.symbol] else 200
            if status == 200:
                self.reply(200, answer_of(request, model, script), TIMES)
            else:
                problem = Problem(title="Told to fail", status=status, detail=f"{request.symbol} fails")
                wait = script.retry_after.get(request.symbol)
                self.reply(status, problem, {} if wait is None else {"Retry-After": wait})

        def reply(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
            content = msgspec.json.encode(body)
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """An address where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def answer_of(
    request: PredictRequest, model: ModelInfo = MODEL, script: Script | None = None
) -> PredictAnswer:
    """Return paths that spread from the last close, the same for the same request."""
    told = Script() if script is None else script
    assert request.candles is not None
    assert request.future_timestamps is not None
    last = request.candles.close[-1]
    paths = [
        [last * (1 + 0.001 * (path + 1) * (step + 1)) for step in range(request.pred_len)]
        for path in range(request.sample_count)
    ]
    flat = [0.0] * request.pred_len
    levels = envelope(paths)
    answer = PredictAnswer(
        symbol=request.symbol,
        timeframe=request.timeframe,
        as_of=_instant(request.candles.timestamp[-1]),
        timestamps=[_instant(time) for time in request.future_timestamps],
        p10=levels.p10.tolist(),
        p50=levels.p50.tolist(),
        p90=levels.p90.tolist(),
        mean=FeatureColumns(open=flat, high=flat, low=flat, close=flat, volume=flat, amount=flat),
        samples=[[*path] for path in paths] if request.return_samples else None,
        seed=request.seed or 0,
        sample_count=request.sample_count,
        lookback_used=len(request.candles.close),
        model=ModelName(name=model.name, version=model.version),
        events_used=request.events is not None and request.symbol not in told.without_events,
        warnings=list(told.warnings.get(request.symbol, [])),
    )
    if wants_statistics(request) and not told.without_statistics:
        features = np.repeat(np.array(paths)[:, :, None], 6, axis=2)
        answer.statistics, warnings = statistics_of(request, features, last, 0.0)
        answer.warnings += warnings
    return answer


def _instant(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
