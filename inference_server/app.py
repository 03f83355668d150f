"""Creates the application: engine, database, routes, and the response to every error."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import numpy as np
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from inference_server.engine.device import CpuDevice, DeviceError
from inference_server.engine.devices import load_engine
from inference_server.engine.engine import Engine
from inference_server.engine.memory import usable_memory
from inference_server.engine.scheduler import Scheduler
from inference_server.flow_metrics import FlowMetrics
from inference_server.forecast.candle_store import CandleStore, find_database
from inference_server.forecast.result_cache import ResultCache
from inference_server.forecast.service import Forecasts
from inference_server.http.auth import KeyGuard
from inference_server.http.deadlines import time_allowed
from inference_server.http.hosts import HostGuard
from inference_server.http.middleware import Observed
from inference_server.http.openapi import document, page_files
from inference_server.http.problems import headers_of, refusal
from inference_server.http.routes import AdminController, ForecastController, ServerController
from inference_server.http.symbol_paths import SymbolPaths
from inference_server.metrics import Metrics
from inference_server.page import page_router
from inference_server.settings import Settings
from market.instruments import default_instruments
from market.time_grid import future_timestamps
from market.timeframes import TIMEFRAMES

log = logging.getLogger(__name__)

CACHE_SHARE = 4
"""The cache gets one part in so many of the memory; the rest is for weights, activations and other
programs."""


def create_app(settings: Settings, on_failure: Callable[[], None] = lambda: None) -> Litestar:
    """Return the server's application; its model is loaded in the background once it has started.

    Parameters
    ----------
    settings
        Where the bundle and the database are, and the limits.
    on_failure
        Called if the model cannot be loaded, or fails later; the log says why.
    """
    metrics = Metrics()
    scheduler = Scheduler(partial(_load, settings), settings.queue_limit, metrics, on_failure)
    store = CandleStore(
        partial(find_database, settings.database_url),
        settings.database_timeout_s,
        settings.database_connections,
        metrics,
    )
    flow_metrics = FlowMetrics(store, settings.metrics_symbols)
    forecasts = Forecasts(scheduler, store, settings.limits, ResultCache(settings.result_cache_bytes))
    app = Litestar(
        route_handlers=[
            ForecastController,
            ServerController,
            AdminController,
            page_router(store),
            page_files(),
        ],
        dependencies={
            "forecasts": Provide(lambda: forecasts, sync_to_thread=False, use_cache=True),
            "scheduler": Provide(lambda: scheduler, sync_to_thread=False, use_cache=True),
            "timeout_s": Provide(time_allowed(settings.request_timeout_s), sync_to_thread=False),
            "metrics": Provide(lambda: metrics, sync_to_thread=False, use_cache=True),
            "flow_metrics": Provide(lambda: flow_metrics, sync_to_thread=False, use_cache=True),
        },
        # With keys no HostGuard is needed: a foreign page in a user's browser has no key.
        guards=[
            *([] if settings.api_keys else [HostGuard(settings.allowed_hosts)]),
            KeyGuard(settings.api_keys, settings.admin_keys),
        ],
        lifespan=[partial(_lifespan, settings, scheduler, store, on_failure)],
        exception_handlers=dict.fromkeys((HTTPException, Exception), partial(_answer_error, metrics)),
        request_max_body_size=settings.max_body_bytes,
        openapi_config=document(),
        logging_config=None,
        state=State({"drain": partial(scheduler.drain, settings.grace_s)}),
    )
    app.asgi_handler = Observed(
        SymbolPaths(app.asgi_handler), metrics, settings.body_timeout_s, settings.max_body_bytes
    )
    return app


def _load(settings: Settings, cache_bytes: int | None) -> Engine:
    """Load and warm the engine, and the trading calendars, whose first use takes a second.

    Parameters
    ----------
    cache_bytes
        A smaller cache than that of the settings; None for the settings'.
    """
    engine = load_engine(
        settings.bundle,
        settings.device,
        CpuDevice(settings.threads, usable_memory() // CACHE_SHARE),
        cache_bytes=settings.cache_bytes if cache_bytes is None else cache_bytes,
    )
    now = np.datetime64("now", "us")
    for instrument in {
        instrument.calendar: instrument for instrument in default_instruments().values()
    }.values():
        for timeframe in TIMEFRAMES:
            future_timestamps(instrument, timeframe, now, 1)
    return engine


def _lifespan(
    settings: Settings,
    scheduler: Scheduler,
    store: CandleStore,
    on_failure: Callable[[], None],
    app: Litestar,
) -> AbstractAsyncContextManager[None]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async def start() -> None:
            try:
                engine = await scheduler.start()
                manifest, address = engine.manifest, f"http://{settings.host}:{settings.port}"
                device = engine.device
                operators = f", compiled operators: {device.compiled_operators or 'none'}"
                served = (manifest.name, manifest.version, manifest.precision, device.name, address)
                log.info(
                    "serving %s %s (%s on %s) at %s%s", *served, operators if device.kind == "cpu" else ""
                )
            except DeviceError as error:
                log.error("%s", error)
                on_failure()
            except Exception:
                log.exception("the model cannot be loaded")
                on_failure()

        async with store.running():
            starting = asyncio.create_task(start())
            try:
                yield
            finally:
                starting.cancel()
                scheduler.close()

    return lifespan()


def _answer_error(metrics: Metrics, request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return any error as problem details; the traceback of an unexpected one is logged."""
    problem = refusal(error, request.url.path, metrics)
    if problem.status == 500:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        headers=headers_of(error),
        media_type="application/problem+json",
    )
