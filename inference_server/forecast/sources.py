"""Reads the instruments and candles of several requests from the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference_server.errors import DatabaseUnavailable, NoDatabase, UnknownSymbol
from inference_server.forecast.candle_store import CandleStore
from inference_server.forecast.windows import Window
from inference_server.schemas import PredictRequest
from market.instruments import Instrument, default_instruments
from market.similar_symbols import did_you_mean, similar_symbols


@dataclass(frozen=True)
class Sources:
    """The instruments and stored candles that requests need.

    Attributes
    ----------
    instruments
        By symbol and alias, from the database if a request needs it and it answers.
    at_hand
        By symbol, without waiting for the database: for warnings, which must not depend on its state.
    candles
        Stored candles by symbol.
    failure
        The error of the database, or None.
    """

    instruments: Mapping[str, Instrument]
    at_hand: Mapping[str, Instrument]
    candles: Mapping[str, Window]
    failure: DatabaseUnavailable | None = None

    def symbol_of(self, request: PredictRequest) -> str:
        """Return the symbol that the one of a request stands for, which may be an alias."""
        instrument = self.instruments.get(request.symbol)
        return request.symbol if instrument is None else instrument.symbol

    def stored_candles(self, request: PredictRequest) -> Window:
        """Return the stored candles of a request's symbol.

        Raises
        ------
        DatabaseUnavailable
            If the database did not answer.
        UnknownSymbol
            If the symbol is not registered, or has no candles before `as_of`.
        """
        symbol = self.symbol_of(request)
        registered = request.symbol in self.instruments
        # Without a database the packaged instruments are all that exist; if one does not answer, the symbol
        # may be registered there.
        if self.failure is not None and (registered or not isinstance(self.failure, NoDatabase)):
            raise self.failure
        if not registered:
            similar = similar_symbols(symbol, self.instruments)
            raise UnknownSymbol(
                f"{symbol} is no registered symbol: register it in the table instruments, "
                f"or send candles and future_timestamps{did_you_mean(symbol, self.instruments)}",
                given=symbol,
                expected=f"a registered symbol, such as {', '.join(similar)}"
                if similar
                else "a registered symbol",
            )
        if symbol not in self.candles:
            raise UnknownSymbol(
                f"the database holds no {request.timeframe} candles of {symbol} before as_of: load some, "
                "or send candles",
                given=symbol,
                expected="a symbol with candles",
            )
        return self.candles[symbol]


async def read_sources(
    store: CandleStore, requests: Sequence[PredictRequest], as_of: np.datetime64
) -> Sources:
    """Return what the requests need from the database; the candles of all symbols are read in one query."""
    instruments: Mapping[str, Instrument] = default_instruments()
    candles: Mapping[str, Window] = {}
    failure: DatabaseUnavailable | None = None
    without_candles = [request.symbol for request in requests if request.candles is None]
    try:
        if without_candles or any(request.future_timestamps is None for request in requests):
            instruments = await store.instruments()
        registered = sorted({instruments[name].symbol for name in without_candles if name in instruments})
        if registered:
            candles = await store.latest(registered, requests[0].timeframe, requests[0].lookback, as_of)
    except DatabaseUnavailable as error:
        # Its traceback refers to this frame, and this frame to it: the requests would be kept until the
        # garbage collector looks at all objects.
        failure = error.with_traceback(None)
    return Sources(instruments, store.instruments_at_hand(), candles, failure)
