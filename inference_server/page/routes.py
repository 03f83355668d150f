"""The routes of stored candles, calendar and forecasts, for the page and other readers."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from litestar import Controller, get
from litestar.params import Dependency, Parameter
from litestar.response import Response

from inference_server.errors import InvalidQuery, InvalidRequest
from inference_server.forecast.instants import parse_instant
from inference_server.http.openapi import problems
from inference_server.http.symbol_paths import decode_symbol
from inference_server.page.chart import ChartPainter
from inference_server.page.schemas import (
    Calendar,
    PredictionHistory,
    PredictionInputs,
    StoredCandles,
    StoredPrediction,
    Symbols,
)
from inference_server.page.store import PageStore
from market.timeframes import TIMEFRAMES, Timeframe, UnknownTimeframe, parse_timeframe
from market.unix_time import LATEST

MAX_CANDLES = 5000
LONGEST_CALENDAR = np.timedelta64(3 * 366, "D")

Store = Annotated[PageStore, Dependency(skip_validation=True)]
Painter = Annotated[ChartPainter, Dependency(skip_validation=True)]
InstantText = Annotated[str | None, Parameter(description="ISO 8601; without a zone it is UTC")]
AsOf = Annotated[
    str | None,
    Parameter(query="as_of", description="as_of of a stored forecast, ISO 8601; unless given the newest"),
]
ModelFilter = Annotated[
    str | None, Parameter(description="of this model only; unless given the last to write")
]


def queried_timeframe(
    name: Annotated[
        str,
        Parameter(
            query="timeframe", schema_extra={"enum": list(TIMEFRAMES)}, description="length of the candles"
        ),
    ],
) -> Timeframe:
    """Return the timeframe of a request; the dependency `timeframe`, which takes other spellings too.

    Raises
    ------
    InvalidQuery
        There is no such timeframe.
    """
    try:
        return parse_timeframe(name)
    except UnknownTimeframe as error:
        raise InvalidQuery(f"the query parameter timeframe: {error}", given=name[:40]) from None


class MarketController(Controller):
    """Stored symbols, candles and calendar events."""

    before_request = staticmethod(decode_symbol)
    tags: Sequence[str] = ("stored data",)

    @get("/symbols", operation_id="symbols", responses=problems(503))
    async def symbols(self, stored: Store) -> Symbols:
        """List the symbols that have candles, with their newest candle and forecast of each timeframe."""
        return await stored.symbols()

    @get("/candles/{symbol:str}", operation_id="candles", responses=problems(404, 422, 503))
    async def candles(
        self,
        symbol: str,
        timeframe: Timeframe,
        stored: Store,
        limit: Annotated[int, Parameter(ge=1, le=MAX_CANDLES)] = 300,
        before: InstantText = None,
    ) -> StoredCandles:
        """Return the last stored candles of a symbol that opened before an instant, oldest first."""
        return await stored.candles(symbol, timeframe, limit, instant(before, "before") or LATEST)

    @get("/calendar", operation_id="calendar", responses=problems(404, 422, 503))
    async def calendar(self, symbol: str, start: str, end: str, stored: Store) -> Calendar:
        """Return the high-impact events of a symbol's currencies and the dollar, and its own earnings."""
        first, last = parse_instant(start, "start"), parse_instant(end, "end")
        if not first < last <= first + LONGEST_CALENDAR:
            raise InvalidRequest(
                f"start {start} and end {end} span no time or more than three years",
                given=[start, end],
                expected="an end after start, at most three years later",
            )
        return await stored.calendar(symbol, first, last)


class PredictionController(Controller):
    """Stored forecasts."""

    path = "/predictions/{symbol:str}"
    before_request = staticmethod(decode_symbol)
    tags: Sequence[str] = ("stored forecasts",)

    @get("/", operation_id="prediction", responses=problems(404, 422, 503))
    async def prediction(
        self,
        symbol: str,
        timeframe: Timeframe,
        stored: Store,
        as_of: AsOf = None,
        model_name: ModelFilter = None,
    ) -> StoredPrediction:
        """Return the newest stored forecast of a symbol, column by column, or that of an earlier as_of."""
        return await stored.prediction(symbol, timeframe, instant(as_of, "as_of"), model_name)

    @get("/history", operation_id="predictionHistory", responses=problems(404, 422, 503))
    async def history(
        self,
        symbol: str,
        timeframe: Timeframe,
        stored: Store,
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 200,
    ) -> PredictionHistory:
        """List the stored forecasts of a symbol, newest first."""
        return await stored.history(symbol, timeframe, limit)

    @get("/inputs", operation_id="predictionInputs", responses=problems(404, 422, 503))
    async def inputs(
        self,
        symbol: str,
        timeframe: Timeframe,
        stored: Store,
        as_of: AsOf = None,
        model_name: ModelFilter = None,
    ) -> PredictionInputs:
        """Return settings and event array of a stored forecast, with which /predict can make it again."""
        return await stored.inputs(symbol, timeframe, instant(as_of, "as_of"), model_name)

    @get(
        "/chart.png",
        operation_id="predictionChart",
        media_type="image/png",
        responses=problems(404, 422, 503),
    )
    async def chart(
        self,
        symbol: str,
        timeframe: Timeframe,
        stored: Store,
        painter: Painter,
        as_of: AsOf = None,
        model_name: ModelFilter = None,
    ) -> Response[bytes]:
        """Draw a stored forecast: candles before it, what happened since, the envelope, and releases."""
        prediction = await stored.prediction(symbol, timeframe, instant(as_of, "as_of"), model_name)
        return Response(
            await painter.paint(stored, prediction, timeframe),
            media_type="image/png",
            headers={"Cache-Control": "no-cache"},
        )


def instant(text: str | None, field: str) -> np.datetime64 | None:
    """Return the instant in a query parameter, or None without one."""
    return None if text is None else parse_instant(text, field)
