"""The routes: bodies in, answers out; everything else happens elsewhere."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import Dependency

from inference_server.bodies import read_batch, read_predict
from inference_server.errors import problem_of
from inference_server.forecasts import Forecasts
from inference_server.openapi import JsonBody, problems
from inference_server.schemas import (
    BatchItem,
    Health,
    ModelInfo,
    PredictAnswer,
    PredictBatchAnswer,
    PredictBatchRequest,
    PredictRequest,
)

Service = Annotated[Forecasts, Dependency(skip_validation=True)]


class PredictBody(JsonBody):
    """A body of /predict."""

    documented = PredictRequest


class PredictBatchBody(JsonBody):
    """A body of /predict-batch."""

    documented = PredictBatchRequest


class ForecastController(Controller):
    """Forecasts for one symbol or several."""

    tags: Sequence[str] = ("forecasts",)

    @post(
        "/predict",
        operation_id="predict",
        status_code=200,
        dto=PredictBody,
        return_dto=None,
        responses=problems(400, 404, 413, 422, 503),
    )
    async def predict(self, data: bytes, forecasts: Service) -> PredictAnswer:
        """Forecast one symbol from the candles given, or from the last ones in the database."""
        asked, warnings = read_predict(data)
        (outcome,) = (await forecasts.answer({asked.symbol: asked})).values()
        if isinstance(outcome, Exception):
            raise outcome
        outcome.warnings = [*warnings, *outcome.warnings]
        return outcome

    @post(
        "/predict-batch",
        operation_id="predictBatch",
        status_code=200,
        dto=PredictBatchBody,
        return_dto=None,
        responses=problems(400, 413, 422, 503),
    )
    async def predict_batch(
        self,
        data: bytes,
        request: Request[Any, Any, Any],
        forecasts: Service,
    ) -> PredictBatchAnswer:
        """Forecast several symbols with the same settings; a symbol that fails leaves the others alone."""
        asked, warnings = read_batch(data, forecasts.limits.max_batch_symbols)
        results = [
            BatchItem(symbol=symbol, error=problem_of(outcome, request.url.path))
            if isinstance(outcome, Exception)
            else BatchItem(symbol=symbol, result=outcome)
            for symbol, outcome in (await forecasts.answer(asked)).items()
        ]
        return PredictBatchAnswer(results=results, warnings=warnings)


class ServerController(Controller):
    """What the server is and whether it can answer."""

    tags: Sequence[str] = ("server",)

    @get("/model", operation_id="model", responses=problems(503))
    async def model(self, forecasts: Service) -> ModelInfo:
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
            limits=forecasts.limits,
            manifest=msgspec.to_builtins(manifest),
        )

    @get("/health/live", operation_id="live")
    async def live(self) -> Health:
        """Tell that the process answers."""
        return Health(status="live")

    @get("/health/ready", operation_id="ready", responses=problems(503))
    async def ready(self, forecasts: Service) -> Health:
        """Tell that the model is loaded and warmed, or answer 503."""
        _ = forecasts.manifest
        return Health(status="ready")
