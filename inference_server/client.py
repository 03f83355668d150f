"""A Python client of the inference server with typed requests, answers and errors."""

import copy
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import httpx
import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inference_server.addresses import host_of, is_loopback, server_address, without_credentials
from inference_server.client_errors import (
    ClientError,
    PredictionRefused,
    ServerTimeout,
    ServerUnavailable,
    SymbolsFailed,
    failure_of,
)
from inference_server.frame_requests import (
    batch_request,
    by_symbol,
    checked_settings,
    forecast_of_batch,
    single_array,
    single_request,
)
from inference_server.frames import Forecast, Frame, forecast_of, read_candles
from inference_server.schemas import (
    EncodedArray,
    ForecastSettings,
    ModelInfo,
    PredictAnswer,
    PredictBatchAnswer,
    PredictBatchRequest,
    PredictRequest,
)

__all__ = [
    "DEADLINE_SHARE",
    "LONGEST_DEADLINE_S",
    "Client",
    "ClientError",
    "PredictionRefused",
    "ServerTimeout",
    "ServerUnavailable",
    "SymbolsFailed",
    "TimedAnswer",
    "encode_array",
]

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0

DEADLINE_SHARE = 0.9
"""Share of a client's timeout that becomes the server's time limit (X-Request-Timeout). The rest is for
sending body and answer, so that the server's 504 arrives before the client's own timeout."""

LONGEST_DEADLINE_S = 86400.0
"""The longest X-Request-Timeout that the server accepts, a day."""


class TimedAnswer(PredictAnswer, kw_only=True):
    """An answer with the times that its headers name.

    Attributes
    ----------
    queue_ms, model_ms
        Milliseconds in the server's queue (X-Queue-Ms) and in the model (X-Inference-Ms); None where the
        answer has no such header.
    """

    queue_ms: float | None = None
    model_ms: float | None = None


class Client:
    """A pool of connections to one server; a context manager that any number of threads may use.

    Parameters
    ----------
    base_url
        The server's address, such as ``http://127.0.0.1:8200``.
    timeout_s
        Seconds to wait for an answer, more than the longest forecast takes. The server's time limit is nine
        tenths of it.
    request_id
        Sent as ``X-Request-ID`` with every call, so that the logs of client and server can be joined.
    api_key
        Sent as a bearer token with every call; a server with keys requires one.

    Proxies of the environment (``HTTP_PROXY``, ``ALL_PROXY`` …) are used for other machines, never for a
    loopback address.

    Raises
    ------
    ValueError
        If the address cannot be one of a server; see `server_address`.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float = 300.0,
        request_id: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._base_url = server_address(base_url)
        self._shown_url = without_credentials(self._base_url)  # in messages
        self._timeout_s = timeout_s
        headers = {
            "X-Request-ID": request_id,
            "Authorization": None if api_key is None else f"Bearer {api_key}",
        }
        self._http = httpx.Client(
            base_url=self._base_url,
            trust_env=not is_loopback(host_of(self._base_url)),
            timeout=_timeout(timeout_s),
            headers={name: value for name, value in headers.items() if value is not None},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the pool of connections."""
        self._http.close()

    def within(self, timeout_s: float) -> "Client":
        """Return a client with another timeout that shares the connections."""
        other = copy.copy(self)
        other._timeout_s = timeout_s
        return other

    def ready(self) -> bool:
        """Return whether the server has loaded and warmed its model; False if it does not answer."""
        try:
            return self._http.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def model(self) -> ModelInfo:
        """Return the server's bundle and limits.

        Raises
        ------
        PredictionRefused
            If the API key is missing or unknown.
        ServerUnavailable
            If there is no answer, for example because the model is still loading.
        """
        return self._decoded(self._send("GET", "/model"), ModelInfo)

    def predict(self, request: PredictRequest, events: ArrayLike | None = None) -> PredictAnswer:
        """Request one forecast.

        Parameters
        ----------
        request
            The request; `events` replaces its own.
        events
            Event array (T, 20) or (T + pred_len, 20), sent as base64 of float32.

        Raises
        ------
        PredictionRefused
            If the server refuses the request (4xx): do not repeat it.
        ServerUnavailable
            If there was no connection, or a 408, 429 or 5xx: worth a retry.
        ServerTimeout
            If there was no answer in time, including the server's 504: a retry would take as long again.
        """
        return self._decoded(self._send_request(request, events), PredictAnswer)

    def predict_timed(self, request: PredictRequest, events: ArrayLike | None = None) -> TimedAnswer:
        """Request one forecast as `predict` does, and return it with the times that the server took."""
        response = self._send_request(request, events)
        return TimedAnswer(
            **msgspec.structs.asdict(self._decoded(response, PredictAnswer)),
            queue_ms=_milliseconds(response, "X-Queue-Ms"),
            model_ms=_milliseconds(response, "X-Inference-Ms"),
        )

    def predict_batch(
        self, request: PredictBatchRequest, events: Mapping[str, ArrayLike] | None = None
    ) -> PredictBatchAnswer:
        """Request forecasts for several symbols with the same settings.

        Parameters
        ----------
        request
            The request; `events` replaces its own.
        events
            Event arrays by symbol, each (T, 20) or (T + pred_len, 20).

        Returns
        -------
        PredictBatchAnswer
            A result or a problem for each symbol.

        Raises
        ------
        PredictionRefused, ServerUnavailable
            As `predict`, if the call as a whole fails.
        """
        if events is not None:
            encoded = {symbol: encode_array(array) for symbol, array in events.items()}
            request = msgspec.structs.replace(request, events=encoded)
        response = self._send("POST", "/predict-batch", msgspec.json.encode(request))
        return self._decoded(response, PredictBatchAnswer)

    @overload
    def forecast(
        self,
        frame: Mapping[str, Any],
        *,
        symbol: str | None = ...,
        timeframe: str,
        pred_len: int,
        sample_count: int = ...,
        seed: int | None = ...,
        events: ArrayLike | Mapping[str, ArrayLike] | None = ...,
        future_timestamps: Any = ...,
        **settings: Any,
    ) -> Forecast[dict[str, NDArray[Any]]]: ...

    @overload
    def forecast(
        self,
        frame: Frame,
        *,
        symbol: str | None = ...,
        timeframe: str,
        pred_len: int,
        sample_count: int = ...,
        seed: int | None = ...,
        events: ArrayLike | Mapping[str, ArrayLike] | None = ...,
        future_timestamps: Any = ...,
        **settings: Any,
    ) -> Forecast[Frame]: ...

    def forecast(
        self,
        frame: Any,
        *,
        symbol: str | None = None,
        timeframe: str,
        pred_len: int,
        sample_count: int = 20,
        seed: int | None = None,
        events: ArrayLike | Mapping[str, ArrayLike] | None = None,
        future_timestamps: Any = None,
        **settings: Any,
    ) -> Forecast[Any]:
        """Forecast from a DataFrame of candles, into a DataFrame of the same library.

        Parameters
        ----------
        frame
            A DataFrame of Polars or pandas, or a mapping of column names to arrays or lists. Columns, in
            small or capital letters: timestamp (or timestamps, ts, or a DatetimeIndex of pandas), the
            candle's open, with a zone or naive, which means UTC; open, high, low, close; optionally volume
            and amount. Rows oldest first. With a column symbol, which may be interleaved, each symbol is
            forecast, in one call of /predict-batch.
        symbol
            The symbol of a frame without a column symbol.
        timeframe
            "1m", "5m", "15m", "30m", "1h", "2h", "4h", "1d" or "1w"; the server takes other spellings
            such as "60m" too.
        pred_len
            Number of future candles.
        sample_count
            Number of sample paths that p10, p50, p90 and mean are taken over.
        seed
            The same seed gives the same sample paths; None lets the server choose one.
        events
            Event array (T, 20) or (T + pred_len, 20), T the number of candles that are used; for a frame with
            a column symbol a mapping of symbol to array.
        future_timestamps
            Opens of the `pred_len` candles to forecast, required for a symbol that is not registered; for a
            frame with a column symbol a mapping of symbol to instants.
        **settings
            Any other field of `ForecastSettings`, such as `top_p`, `lookback`, `as_of` or `return_samples`.

        Raises
        ------
        FrameError
            If the frame cannot be read as candles; no request was sent.
        TypeError
            If there is no such setting.
        PredictionRefused, ServerUnavailable
            As `predict`.
        SymbolsFailed
            If some or all symbols of a frame have no forecast; it holds the forecasts of the others.
        """
        checked = checked_settings(
            settings, timeframe=timeframe, pred_len=pred_len, sample_count=sample_count, seed=seed
        )
        table = read_candles(frame, symbol, ForecastSettings(**checked))
        if not table.has_symbols:
            request = single_request(table, checked, future_timestamps)
            answer = self.predict(request, single_array(events))
            return forecast_of(table, {request.symbol: answer}, [])
        batch = self.predict_batch(
            batch_request(table, checked, future_timestamps), by_symbol(events, "events")
        )
        return forecast_of_batch(table, batch)

    def _send_request(self, request: PredictRequest, events: ArrayLike | None) -> httpx.Response:
        if events is not None:
            request = msgspec.structs.replace(request, events=encode_array(events))
        return self._send("POST", "/predict", msgspec.json.encode(request))

    def _send(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        headers = {}
        if body is not None:
            deadline_s = min(DEADLINE_SHARE * self._timeout_s, LONGEST_DEADLINE_S)
            headers = {"Content-Type": "application/json", "X-Request-Timeout": f"{deadline_s:.6f}"}
        try:
            response = self._http.request(
                method, path, content=body, headers=headers, timeout=_timeout(self._timeout_s)
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            seconds = round(self._timeout_s, 2)
            raise ServerTimeout(
                f"no answer from {self._shown_url}{path} within {seconds:g} s: it accepted the "
                "connection and sent nothing, so that it hangs or is overloaded"
            ) from error
        except httpx.HTTPError as error:
            raise ServerUnavailable(
                f"no answer from {self._shown_url}{path}: {error or type(error).__name__}"
            ) from error
        if not response.is_success:
            raise failure_of(response)
        return response

    def _decoded(self, response: httpx.Response, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise ServerUnavailable(
                f"{without_credentials(str(response.url))} gave an answer that is not a {answer.__name__}: "
                f"{error}; is this an inference server of the same version?"
            ) from error


def _milliseconds(response: httpx.Response, header: str) -> float | None:
    """Return the number in a header, or None where a proxy or another version left it out."""
    try:
        return float(response.headers[header])
    except (KeyError, ValueError):
        return None


def _timeout(timeout_s: float) -> httpx.Timeout:
    return httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))


def encode_array(events: ArrayLike) -> EncodedArray:
    """Return a two-dimensional array as its shape and its little-endian float32 bytes.

    Raises
    ------
    ValueError
        If the array is not two-dimensional.
    """
    array = np.ascontiguousarray(events, dtype="<f4")
    if array.ndim != 2:
        raise ValueError(
            f"an event array of shape {array.shape} given; expected two dimensions, rows × channels"
        )
    return EncodedArray(shape=(array.shape[0], array.shape[1]), data=array.tobytes())
