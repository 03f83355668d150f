"""Makes requests of a frame's candles, and a forecast of the answer to several symbols."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from inference_server.client_errors import SymbolsFailed
from inference_server.frames import CandleFrame, Forecast, forecast_of, plain, to_instants, to_wire
from inference_server.schemas import (
    ForecastSettings,
    PredictBatchAnswer,
    PredictBatchRequest,
    PredictRequest,
)


def checked_settings(settings: Mapping[str, Any], **named: Any) -> dict[str, Any]:
    """Return the fields of `ForecastSettings` that a caller gave, as plain values.

    Parameters
    ----------
    settings
        Those that the caller named freely.
    **named
        Those that `Client.forecast` names.

    Raises
    ------
    TypeError
        If there is no such setting.
    """
    given = {**settings, **named}
    if unknown := sorted(set(given) - set(ForecastSettings.__struct_fields__)):
        raise TypeError(
            f"forecast() has no setting {', '.join(unknown)}; expected some of "
            f"{', '.join(ForecastSettings.__struct_fields__)}"
        )
    return {name: plain(value) for name, value in given.items()}


def single_request(table: CandleFrame, settings: Mapping[str, Any], future_timestamps: Any) -> PredictRequest:
    """Return the request for a frame of one symbol; `future_timestamps` are instants, or None."""
    symbol, candles = next(iter(table.candles.items()))
    future = None
    if future_timestamps is not None:
        future = to_wire(to_instants(future_timestamps, "future_timestamps"))
    return PredictRequest(symbol=symbol, candles=candles, future_timestamps=future, **settings)


def batch_request(
    table: CandleFrame, settings: Mapping[str, Any], future_timestamps: Any
) -> PredictBatchRequest:
    """Return the request for a frame with a column symbol; `future_timestamps`, if any, are by symbol.

    Raises
    ------
    TypeError
        If the instants are not given by symbol.
    """
    futures = {
        name: to_wire(to_instants(instants, f"future_timestamps[{name!r}]"))
        for name, instants in (by_symbol(future_timestamps, "future_timestamps") or {}).items()
    }
    return PredictBatchRequest(
        symbols=list(table.candles),
        candles=table.candles,
        future_timestamps=futures or None,
        **settings,
    )


def forecast_of_batch(table: CandleFrame, batch: PredictBatchAnswer) -> Forecast[Any]:
    """Return the forecasts of a frame's symbols.

    Raises
    ------
    SymbolsFailed
        If some or all symbols have none; it holds the forecasts of the others.
    """
    answers = {item.symbol: item.result for item in batch.results if item.result is not None}
    problems = {item.symbol: item.error for item in batch.results if item.error is not None}
    forecast = forecast_of(table, answers, batch.warnings) if answers else None
    if problems or forecast is None:
        raise SymbolsFailed(problems, forecast)
    return forecast


def single_array(events: ArrayLike | Mapping[str, ArrayLike] | None) -> ArrayLike | None:
    """Return the event array of a frame of one symbol.

    Raises
    ------
    TypeError
        If arrays are given by symbol.
    """
    if isinstance(events, Mapping):
        raise TypeError("events by symbol given; expected one array: the frame has no column symbol")
    return events


def by_symbol(values: Any, name: str) -> Mapping[str, Any] | None:
    """Return what was given for each symbol of a frame with a column symbol.

    Raises
    ------
    TypeError
        If it is not a mapping.
    """
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"one {name} given; expected a mapping by symbol: the frame has a column symbol")
    return values
