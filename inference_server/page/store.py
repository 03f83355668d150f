"""Reads symbols, candles, calendar events and stored forecasts from Postgres for the page."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg.rows import TupleRow

from inference_server.errors import ServiceError, UnknownSymbol
from inference_server.forecast.candle_store import CandleStore
from inference_server.forecast.windows import Window
from inference_server.page.currencies import currencies_of
from inference_server.page.schemas import (
    Calendar,
    CalendarEvent,
    PastPrediction,
    PredictionHistory,
    PredictionInputs,
    StoredCandles,
    StoredPrediction,
    SymbolInfo,
    Symbols,
    TimeframeInfo,
)
from inference_server.schemas import EncodedArray
from market.event_channels import EVENT_CHANNELS
from market.instruments import Instrument
from market.similar_symbols import did_you_mean
from market.timeframes import CANDLE_TABLE, TIMEFRAMES, Timeframe
from market.times import aware, awares
from sql.loading import load, load_for_table, load_for_tables

LONGEST_NAME = 64
MAX_EVENTS = 2000
_FLOAT32 = 4


class NoPrediction(ServiceError):
    """No forecast of the symbol is stored."""

    status = 404
    name = "no-prediction"
    title = "No stored forecast"


class PageStore:
    """The queries of the page, with the pool and the errors of the candle store."""

    def __init__(self, store: CandleStore) -> None:
        self._store = store

    async def symbols(self) -> Symbols:
        """Return every registered symbol that has candles or forecasts, with the timeframes of these."""
        instruments = await self._store.instruments()
        query = load_for_tables("symbols", CANDLE_TABLE)
        by_symbol: dict[str, list[TimeframeInfo]] = {}
        for symbol, timeframe, candle, forecast in await self._store.rows(
            query, {"symbols": [name for name, each in instruments.items() if name == each.symbol]}
        ):
            # Without stored candles of the timeframe the forecast was made from aggregated ones.
            last = forecast if candle is None else candle
            info = TimeframeInfo(timeframe=timeframe, last_candle=last, last_forecast=forecast)
            by_symbol.setdefault(symbol, []).append(info)
        return Symbols(
            symbols=[
                SymbolInfo(
                    symbol=symbol,
                    asset_class=instruments[symbol].asset_class,
                    currency=instruments[symbol].currency,
                    tick_size=instruments[symbol].tick_size,
                    aliases=instruments[symbol].aliases,
                    timeframes=sorted(by_symbol[symbol], key=lambda info: TIMEFRAMES.index(info.timeframe)),
                )
                for symbol in by_symbol
            ]
        )

    async def candles(
        self, symbol: str, timeframe: Timeframe, limit: int, before: np.datetime64
    ) -> StoredCandles:
        """Return the last candles that began before an instant; a registered symbol may have none.

        Those of a symbol that the timeframe's table lacks are aggregated from a finer timeframe.

        Raises
        ------
        UnknownSymbol
            If the symbol is not registered.
        """
        symbol = (await self._registered(symbol)).symbol
        parameters = {"symbols": [symbol], "n": limit, "before": aware(before)}
        rows = await self._store.rows(load_for_table("candles", CANDLE_TABLE[timeframe]), parameters)
        if not rows:
            found = await self._store.aggregated([symbol], timeframe, limit, before)
            rows = [row for window in found.values() for row in _rows(symbol, window)]
        columns = list(zip(*rows, strict=True)) or [()] * 8
        names = ("timestamp", "open", "high", "low", "close", "volume")
        return StoredCandles(
            symbol=symbol,
            timeframe=timeframe,
            **{name: list(values) for name, values in zip(names, columns[1:7], strict=True)},
        )

    async def calendar(self, symbol: str, start: np.datetime64, end: np.datetime64) -> Calendar:
        """Return the high-impact events of a symbol's currencies and its own earnings, oldest first.

        Raises
        ------
        UnknownSymbol
            If the symbol is not registered.
        """
        instrument = await self._registered(symbol)
        currencies = currencies_of(instrument)
        parameters = {
            "symbol": instrument.symbol,
            "currencies": currencies,
            "start": aware(start),
            "end": aware(end),
            "n": MAX_EVENTS,
        }
        rows = await self._store.rows(load("calendar_of_symbol"), parameters)
        events = [CalendarEvent(**named(CalendarEvent, row)) for row in rows]
        return Calendar(currencies=currencies, events=events)

    async def prediction(
        self, symbol: str, timeframe: Timeframe, as_of: np.datetime64 | None, model_name: str | None
    ) -> StoredPrediction:
        """Return a stored forecast: the newest, or that of an `as_of`, of any model or of one.

        Raises
        ------
        NoPrediction
            If there is none.
        """
        symbol = await self._own_symbol(symbol)
        parameters = {
            "symbol": symbol,
            "timeframe": timeframe,
            "as_of": None if as_of is None else aware(as_of),
            "model_name": model_name,
        }
        usable = readable(symbol) and (model_name is None or readable(model_name))
        rows = await self._store.rows(load("stored_prediction"), parameters) if usable else []
        if not rows:
            raise NoPrediction(
                f"no {timeframe} forecast of {symbol[:LONGEST_NAME]} is stored"
                + ("" if as_of is None and model_name is None else " for this as_of and model")
                + await self._did_you_mean(symbol),
                given=symbol[:LONGEST_NAME],
                expected="a symbol that the flow has forecast; …/history lists the forecasts of a symbol",
            )
        return StoredPrediction(**named(StoredPrediction, rows[0]))

    async def history(self, symbol: str, timeframe: Timeframe, limit: int) -> PredictionHistory:
        """Return the stored forecasts of a symbol without their values, newest first.

        Raises
        ------
        UnknownSymbol
            If there is none, and the symbol is not registered.
        """
        symbol = await self._own_symbol(symbol)
        parameters = {"symbol": symbol, "timeframe": timeframe, "n": limit}
        rows = await self._store.rows(load("prediction_history"), parameters) if readable(symbol) else []
        if not rows:
            await self._registered(symbol)
        return PredictionHistory(predictions=[PastPrediction(**named(PastPrediction, row)) for row in rows])

    async def inputs(
        self, symbol: str, timeframe: Timeframe, as_of: np.datetime64 | None, model_name: str | None
    ) -> PredictionInputs:
        """Return the inputs of a stored forecast.

        Raises
        ------
        NoPrediction
            If there is no such forecast, or its inputs are not stored.
        """
        prediction = await self.prediction(symbol, timeframe, as_of, model_name)
        parameters = {
            name: getattr(prediction, name) for name in ("symbol", "timeframe", "as_of", "model_name")
        }
        rows = await self._store.rows(load("prediction_inputs"), parameters)
        if not rows:
            raise NoPrediction(
                "the forecast is stored, its inputs are not: they are kept for a month",
                given=symbol,
                expected="a forecast that the flow stored within a month",
            )
        values = named(PredictionInputs, rows[0])
        return PredictionInputs(**values | {"events": _event_array(values["events"])})

    async def _own_symbol(self, name: str) -> str:
        """Return the symbol that an alias stands for; any other name is unchanged."""
        instruments = await self._store.instruments()
        return instruments[name].symbol if name in instruments else name

    async def _did_you_mean(self, symbol: str) -> str:
        """Return which symbols one that is not registered may mean, as the end of a sentence."""
        instruments = await self._store.instruments()
        return "" if symbol in instruments else did_you_mean(symbol, instruments)

    async def _registered(self, symbol: str) -> Instrument:
        instruments = await self._store.instruments()
        if symbol not in instruments:
            raise UnknownSymbol(
                f"{symbol[:LONGEST_NAME]} is no registered symbol: register it in the table instruments"
                + did_you_mean(symbol, instruments),
                given=symbol[:LONGEST_NAME],
                expected="a registered symbol; /symbols lists those that have candles",
            )
        return instruments[symbol]


def readable(name: str) -> bool:
    """Return whether Postgres can store a name: short, without control characters or lone surrogates."""
    return len(name) <= LONGEST_NAME and name.isprintable()


def named(struct: Any, row: Sequence[Any]) -> dict[str, Any]:
    """Return a row by the names of a struct's fields, whose order is that of the query's columns."""
    return dict(zip(struct.__struct_fields__, row, strict=True))


def _rows(symbol: str, window: Window) -> list[TupleRow]:
    """Return a window as rows of the query of candles; NaN becomes NULL."""
    return [
        (symbol, opened, *(None if math.isnan(value) else value for value in values))
        for opened, values in zip(awares(window.timestamps), window.features.tolist(), strict=True)
    ]


def _event_array(stored: bytes | None) -> EncodedArray | None:
    if stored is None:
        return None
    columns = len(EVENT_CHANNELS)
    return EncodedArray(shape=(len(stored) // (_FLOAT32 * columns), columns), data=bytes(stored))
