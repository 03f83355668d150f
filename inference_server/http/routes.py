"""The routes: bodies in, answers out; everything else happens elsewhere."""

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
from inference_server.forecast.answer_size import is_large_answer
from inference_server.forecast.service import Answered, Forecasts
from inference_server.http.answer_json import answer_pieces, batch_pieces, joined, json_response
from inference_server.http.auth import ADMIN, OPEN
from inference_server.http.bodies import LARGE_BODY, only_json, read_batch, read_predict, unpacked
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
T = TypeVar("T")
Counters = Annotated[Metrics, Dependency(skip_validation=True)]


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
            asked, warnings = await _read(request, data, forecasts, read_predict)
            (outcome,) = (await forecasts.answer({asked.symbol: asked}, timeout_s)).values()
            if isinstance(outcome, Exception):
                raise outcome
            outcome.answer.warnings = [*warnings, *outcome.answer.warnings]
            parts = await forecasts.large_work.run(
                lambda: joined(answer_pieces(outcome.answer)), large=is_large_answer(asked, 1)
            )
            return json_response(PredictAnswer, parts, _timing([outcome]))

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
            read = partial(read_batch, max_symbols=forecasts.limits.max_batch_symbols)
            asked, warnings = await _read(request, data, forecasts, read)
            outcomes = await forecasts.answer(asked, timeout_s)
            results = [
                BatchItem(symbol=symbol, error=refusal(outcome, request.url.path, metrics))
                if isinstance(outcome, Exception)
                else BatchItem(symbol=symbol, result=outcome.answer)
                for symbol, outcome in outcomes.items()
            ]
            made = PredictBatchAnswer(results=results, warnings=warnings)
            done = [one for one in outcomes.values() if isinstance(one, Answered)]
            one = next((one for one in asked.values() if isinstance(one, PredictRequest)), None)
            parts = await forecasts.large_work.run(
                lambda: joined(batch_pieces(made)),
                large=one is not None and is_large_answer(one, len(results)),
            )
            return json_response(PredictBatchAnswer, parts, _timing(done))

        return await while_connected(request, answered())


async def _read(
    request: Request[Any, Any, Any],
    data: bytes,
    forecasts: Forecasts,
    read: Callable[[bytes], tuple[T, list[str]]],
) -> tuple[T, list[str]]:
    """Return what a body holds, unpacked and read; a large one beside the event loop."""
    encoding, limit = request.headers.get("content-encoding", ""), forecasts.limits.max_body_bytes
    packed = encoding.strip().lower() not in ("", "identity")
    return await forecasts.large_work.run(
        lambda: read(unpacked(data, encoding, limit)), large=packed or len(data) > LARGE_BODY
    )


def _timing(answered: Sequence[Answered]) -> dict[str, str]:
    """Headers that tell what took how long; of a batch the longest, and the most rows that a step had."""
    if not answered:
        return {}
    return {
        "X-Queue-Ms": f"{max(one.queue_s for one in answered) * 1000:.1f}",
        "X-Inference-Ms": f"{max(one.inference_s for one in answered) * 1000:.1f}",
        "X-Batch-Size": str(max(one.batch_size for one in answered)),
    }


class AdminController(Controller):
    """What only operators may do."""

    path = "/admin"
    tags: Sequence[str] = ("admin",)
    opt = ADMIN

    @post("/reload", operation_id="reload", status_code=200, responses=problems(401, 403, 409, 503))
    async def reload(self, scheduler: Owner) -> ModelName:
        """Load the bundle in KRONOS_BUNDLE anew and serve it; what runs is finished by the old one."""
        try:
            manifest = (await scheduler.reload()).manifest
        except (BundleError, EngineError, DeviceError) as error:
            log.error("the bundle was not reloaded: %s", error)
            raise ReloadFailed from error
        return ModelName(name=manifest.name, version=manifest.version)


def device_info(engine: Engine) -> DeviceInfo:
    """Return what runs an engine."""
    device = engine.device
    return DeviceInfo(kind=device.kind, name=device.name, fallback=engine.fallback is not None)


class ServerController(Controller):
    """What the server is and whether it can answer."""

    tags: Sequence[str] = ("server",)

    @get("/model", operation_id="model", responses=problems(401, 503))
    async def model(self, forecasts: Service, scheduler: Owner) -> ModelInfo:
        """Tell which bundle is served, what it reads, and the limits of a request."""
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
        """Tell that the process answers."""
        return Health(status="live")

    @get("/health/ready", operation_id="ready", opt=OPEN, responses=problems(503))
    async def ready(self, scheduler: Owner) -> Health:
        """Tell that the model is loaded and warmed, or answer 503."""
        return Health(status="ready", fallback=scheduler.engine.fallback is not None)

    @get("/metrics", include_in_schema=False)
    async def metrics(self, metrics: Counters) -> Response[bytes]:
        """Tell Prometheus what happened so far; needs a key, since it tells how much the server is used."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)
