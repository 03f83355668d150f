"""The routes of forecasts, of the model and of the server's state."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.params import Dependency
from litestar.types import Guard

from inference_server.engine.bundle import BundleError
from inference_server.engine.device import DeviceError
from inference_server.engine.engine import Engine
from inference_server.engine.model import EngineError
from inference_server.engine.scheduler import Scheduler
from inference_server.errors import ReloadFailed
from inference_server.flow_metrics import FlowMetrics
from inference_server.forecast.answer_size import is_large_answer
from inference_server.forecast.service import Forecasts, TimedAnswer
from inference_server.http.answer_json import answer_pieces, batch_pieces, joined, json_response
from inference_server.http.auth import ADMIN, OPEN
from inference_server.http.bodies import parse_batch, parse_predict
from inference_server.http.body_encoding import decompressed, only_json
from inference_server.http.deadlines import while_connected
from inference_server.http.openapi import JsonBody, problems
from inference_server.http.problems import refusal
from inference_server.metrics import CONTENT_TYPE, Metrics
from inference_server.schemas import (
    BatchItem,
    DeviceInfo,
    Health,
    ModelInfo,
    ModelName,
    PredictAnswer,
    PredictBatchAnswer,
    PredictBatchRequest,
    PredictRequest,
)

log = logging.getLogger(__name__)

Service = Annotated[Forecasts, Dependency(skip_validation=True)]
Owner = Annotated[Scheduler, Dependency(skip_validation=True)]
Allowed = Annotated[float, Dependency(skip_validation=True)]
Counters = Annotated[Metrics, Dependency(skip_validation=True)]
FlowCounters = Annotated[FlowMetrics, Dependency(skip_validation=True)]
T = TypeVar("T")

LARGE_BODY = 2**17
"""Bytes above which parsing a body takes longer than handing it to a thread, a millisecond or two."""


class PredictBody(JsonBody):
    """A body of /predict."""

    documented = PredictRequest


class PredictBatchBody(JsonBody):
    """A body of /predict-batch."""

    documented = PredictBatchRequest


class ForecastController(Controller):
    """Forecasts for one symbol or several."""

    tags: Sequence[str] = ("forecasts",)
    guards: Sequence[Guard] = (only_json,)

    @post(
        "/predict",
        operation_id="predict",
        status_code=200,
        dto=PredictBody,
        return_dto=None,
        responses=problems(401, 404, 408, 413, 415, 422, 429, 503, 504),
    )
    async def predict(
        self,
        data: bytes,
        request: Request[Any, Any, Any],
        forecasts: Service,
        timeout_s: Allowed,
    ) -> Response[PredictAnswer]:
        """Forecast one symbol from the candles given, or from the last ones in the database."""

        async def answered() -> Response[PredictAnswer]:
            predict, warnings = await _parse(request, data, forecasts, parse_predict)
            timed = await forecasts.answer_one(predict, timeout_s)
            timed.answer.warnings = [*warnings, *timed.answer.warnings]
            parts = await forecasts.large_work.run(
                lambda: joined(answer_pieces(timed.answer)), large=is_large_answer(predict, symbols=1)
            )
            return json_response(PredictAnswer, parts, _timing([timed]))

        return await while_connected(request, answered())

    @post(
        "/predict-batch",
        operation_id="predictBatch",
        status_code=200,
        dto=PredictBatchBody,
        return_dto=None,
        responses=problems(401, 408, 413, 415, 422, 429, 503, 504),
    )
    async def predict_batch(
        self,
        data: bytes,
        request: Request[Any, Any, Any],
        forecasts: Service,
        metrics: Counters,
        timeout_s: Allowed,
    ) -> Response[PredictBatchAnswer]:
        """Forecast several symbols with the same settings; a symbol that fails leaves the others alone."""

        async def answered() -> Response[PredictBatchAnswer]:
            parse = partial(parse_batch, max_symbols=forecasts.limits.max_batch_symbols)
            batch = await _parse(request, data, forecasts, parse)
            outcome = await forecasts.answer(batch.requests, timeout_s)
            problems_by_symbol = {
                symbol: refusal(error, request.url.path, metrics)
                for symbol, error in (batch.failures | outcome.failures).items()
            }
            results = [
                BatchItem(symbol=symbol, error=problems_by_symbol[symbol])
                if symbol in problems_by_symbol
                else BatchItem(symbol=symbol, result=outcome.answers[symbol].answer)
                for symbol in batch.symbols
            ]
            answer = PredictBatchAnswer(results=results, warnings=batch.warnings)
            settings = next(iter(batch.requests.values()), None)
            parts = await forecasts.large_work.run(
                lambda: joined(batch_pieces(answer)),
                large=settings is not None and is_large_answer(settings, len(results)),
            )
            return json_response(PredictBatchAnswer, parts, _timing(list(outcome.answers.values())))

        return await while_connected(request, answered())


async def _parse(
    request: Request[Any, Any, Any], data: bytes, forecasts: Forecasts, parse: Callable[[bytes], T]
) -> T:
    """Return the content of a body, decompressed and parsed; a large one beside the event loop."""
    encoding, limit = request.headers.get("content-encoding", ""), forecasts.limits.max_body_bytes
    compressed = encoding.strip().lower() not in ("", "identity")
    return await forecasts.large_work.run(
        lambda: parse(decompressed(data, encoding, limit)), large=compressed or len(data) > LARGE_BODY
    )


def _timing(answers: Sequence[TimedAnswer]) -> dict[str, str]:
    """Return headers with the times of an answer; of a batch the longest, and the largest engine batch."""
    if not answers:
        return {}
    return {
        "X-Queue-Ms": f"{max(answer.queue_s for answer in answers) * 1000:.1f}",
        "X-Inference-Ms": f"{max(answer.inference_s for answer in answers) * 1000:.1f}",
        "X-Batch-Size": str(max(answer.batch_size for answer in answers)),
    }


class AdminController(Controller):
    """Operations that require an admin key."""

    path = "/admin"
    tags: Sequence[str] = ("admin",)
    opt = ADMIN

    @post("/reload", operation_id="reload", status_code=200, responses=problems(401, 403, 409, 503))
    async def reload(self, scheduler: Owner) -> ModelName:
        """Load the bundle in KRONOS_BUNDLE again and serve it; running forecasts finish on the previous
        one."""
        try:
            manifest = (await scheduler.reload()).manifest
        except (BundleError, EngineError, DeviceError) as error:
            log.error("the bundle was not reloaded: %s", error)
            raise ReloadFailed from error
        return ModelName(name=manifest.name, version=manifest.version)


def device_info(engine: Engine) -> DeviceInfo:
    """Return the device of an engine."""
    device = engine.device
    return DeviceInfo(
        kind=device.kind,
        name=device.name,
        fallback=engine.fallback is not None,
        compiled_operators=device.compiled_operators,
    )


class ServerController(Controller):
    """The bundle being served and the state of the server."""

    tags: Sequence[str] = ("server",)

    @get("/model", operation_id="model", responses=problems(401, 503))
    async def model(self, forecasts: Service, scheduler: Owner) -> ModelInfo:
        """Return the bundle being served, its event channels, and the limits of a request."""
        manifest = forecasts.manifest
        return ModelInfo(
            name=manifest.name,
            version=manifest.version,
            precision=manifest.precision,
            max_context=manifest.max_context,
            has_events=manifest.has_events,
            event_schema=manifest.event_schema,
            event_alignment=manifest.event_alignment,
            event_channels=manifest.event_channels,
            device=device_info(scheduler.engine),
            limits=forecasts.limits,
            manifest=msgspec.to_builtins(manifest),
        )

    @get("/health/live", operation_id="live", opt=OPEN)
    async def live(self) -> Health:
        """Return 200 as long as the process answers."""
        return Health(status="live")

    @get("/health/ready", operation_id="ready", opt=OPEN, responses=problems(503))
    async def ready(self, scheduler: Owner) -> Health:
        """Return 200 if the model is loaded and warmed, otherwise 503."""
        return Health(status="ready", fallback=scheduler.engine.fallback is not None)

    @get("/metrics", include_in_schema=False)
    async def metrics(self, metrics: Counters) -> Response[bytes]:
        """Return the metrics for Prometheus; requires a key, since they show how much the server is used."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    @get("/metrics/flows", include_in_schema=False)
    async def flow_metrics(self, flow_metrics: FlowCounters) -> Response[bytes]:
        """Return the metrics of the scheduled flows for Prometheus; requires a key, as /metrics does."""
        return Response(await flow_metrics.exposition(), media_type=CONTENT_TYPE)
