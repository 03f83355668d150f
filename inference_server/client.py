"""A client of the inference server for callers in Python: typed requests, typed answers, typed failures."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec
import numpy as np
from numpy.typing import ArrayLike

from inference_server.addresses import host_of, is_loopback, server_address
from inference_server.schemas import EncodedArray, ModelInfo, PredictAnswer, PredictRequest, Problem

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0

DEADLINE_SHARE = 0.9
"""Part of a client's timeout that the server is given for a forecast (X-Request-Timeout). The rest is for the
body's way there and the answer's way back, so that the server's 504 comes before the client hangs up."""

LONGEST_DEADLINE_S = 86400.0
"""The server takes no longer X-Request-Timeout than a day."""


class ClientError(Exception):
    """Anything that kept a call from being answered."""


class PredictionRefused(ClientError):
    """The server understood the request and refuses it (4xx): sending it again changes nothing."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(f"{problem.title} ({status}): {problem.detail}")
        self.status = status
        self.problem = problem


class ServerUnavailable(ClientError):
    """No answer now (no connection, timeout, 408, 429, 5xx): try again, after `retry_after_s` if given."""

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ServerTimeout(ServerUnavailable):
    """The server did not make the forecast within its time, or said nothing within the client's.

    Another try takes as long again, since what was done of the first is lost.
    """


class Client:
    """One pool of connections to one server; use it as a context manager, from any number of threads.

    Parameters
    ----------
    base_url
        The server's address, such as ``http://127.0.0.1:8200``.
    timeout_s
        Seconds to wait for an answer: above the time that the longest forecast takes. The server is told to
        be done with a forecast in nine tenths of it.
    request_id
        Sent as ``X-Request-ID`` with every call, so that both logs can be joined.
    api_key
        Sent as a bearer token with every call; a server with keys answers nobody else.

    The environment's proxies (``HTTP_PROXY``, ``ALL_PROXY`` …) serve calls to other machines, never those to
    this one.

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
        self._timeout_s = timeout_s
        headers = {
            "X-Request-ID": request_id,
            "Authorization": None if api_key is None else f"Bearer {api_key}",
        }
        self._http = httpx.Client(
            base_url=self._base_url,
            trust_env=not is_loopback(host_of(self._base_url)),
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
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

    def ready(self) -> bool:
        """Return whether the server has loaded and warmed its model; False too where nobody answers."""
        try:
            return self._http.get("/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def model(self) -> ModelInfo:
        """Return what the server says of its bundle and its limits.

        Raises
        ------
        PredictionRefused
            If the server knows no such API key.
        ServerUnavailable
            If there is no answer now, for example because the model is still loading.
        """
        return self._call("GET", "/model", ModelInfo)

    def predict(self, request: PredictRequest, events: ArrayLike | None = None) -> PredictAnswer:
        """Ask for one forecast.

        Parameters
        ----------
        request
            The request; its `events` are replaced where an array is given here.
        events
            Event array (T, 20) or (T + pred_len, 20); it travels as base64 float32.

        Raises
        ------
        PredictionRefused
            If the server refuses the request (4xx): do not repeat it.
        ServerUnavailable
            If there was no connection, or a 408, 429 or 5xx: worth another try.
        ServerTimeout
            If there was no answer in time, the server's 504 included: another try would take as long again.
        """
        if events is not None:
            request = msgspec.structs.replace(request, events=encode_array(events))
        return self._call("POST", "/predict", PredictAnswer, msgspec.json.encode(request))

    def _call(self, method: str, path: str, answer: type[T], body: bytes | None = None) -> T:
        headers = {}
        if body is not None:
            deadline_s = min(DEADLINE_SHARE * self._timeout_s, LONGEST_DEADLINE_S)
            headers = {"Content-Type": "application/json", "X-Request-Timeout": f"{deadline_s:.6f}"}
        try:
            response = self._http.request(method, path, content=body, headers=headers)
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            seconds = round(self._timeout_s, 2)
            raise ServerTimeout(
                f"no answer from {self._base_url}{path} within {seconds:g} s: the connection was taken, and "
                "then nothing came, so that the server hangs or is overloaded"
            ) from error
        except httpx.HTTPError as error:
            raise ServerUnavailable(
                f"no answer from {self._base_url}{path}: {error or type(error).__name__}"
            ) from error
        if not response.is_success:
            raise _failure(response)
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise ServerUnavailable(
                f"{self._base_url}{path} gave an answer that is not a {answer.__name__}: {error}; "
                "is this an inference server of the same version?"
            ) from error


def encode_array(events: ArrayLike) -> EncodedArray:
    """Return a two-dimensional array as it travels: its shape and its little-endian float32 bytes.

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


def _failure(response: httpx.Response) -> ClientError:
    """Return the exception for an answer that is not a success, in the server's words where it has any."""
    status = response.status_code
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(title=response.reason_phrase, status=status, detail=response.text[:500])
    if status in (408, 429) or status >= 500:
        return (ServerTimeout if status == 504 else ServerUnavailable)(
            f"{problem.title} ({status}): {problem.detail}", status, _retry_after_s(response)
        )
    return PredictionRefused(status, problem)


def _retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of a Retry-After, which names seconds or, from a proxy, an instant."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (instant.replace(tzinfo=instant.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
