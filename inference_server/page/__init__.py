"""The page at / and the routes of its data: candles, calendar and stored forecasts."""

from litestar import Router
from litestar.di import Provide

from inference_server.forecast.candle_store import CandleStore
from inference_server.page.assets import page_files
from inference_server.page.chart import ChartPainter
from inference_server.page.routes import MarketController, PredictionController, queried_timeframe
from inference_server.page.store import PageStore


def page_router(store: CandleStore) -> Router:
    """Return the page and the routes of its data, which share the pool of the candle store."""
    stored, painter = PageStore(store), ChartPainter()
    return Router(
        path="/",
        route_handlers=[page_files(), MarketController, PredictionController],
        dependencies={
            "stored": Provide(lambda: stored, sync_to_thread=False, use_cache=True),
            "timeframe": Provide(queried_timeframe, sync_to_thread=False),
            "painter": Provide(lambda: painter, sync_to_thread=False, use_cache=True),
        },
    )
