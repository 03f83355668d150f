"""From a body's bytes to the engine's job: whatever comes, a job that is sound or a refusal in words."""

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_server.engine.jobs import ForecastJob
from inference_server.errors import ServiceError
from inference_server.forecast.event_arrays import parse_events
from inference_server.forecast.instants import parse_instant
from inference_server.forecast.preparation import forecast_job
from inference_server.forecast.validation import check_event_schema, check_limits
from inference_server.forecast.windows import (
    closed_window,
    parse_candles,
    timestamps_to_forecast,
    without_gaps,
)
from inference_server.http.bodies import parse_batch, parse_predict
from inference_server.http.problems import problem_of
from inference_server.schemas import Limits, PredictRequest
from market.candle_warnings import UsedCandles, candle_warnings
from market.candles import CandleError
from market.instruments import default_instruments
from market.warning_codes import WarningCode, code_of
from tests.helpers.serving import candles

LIMITS = Limits(
    min_candles=32,
    max_pred_len=512,
    max_sample_count=256,
    max_lookback=4096,
    max_batch_symbols=100,
    max_body_bytes=2**20,
)
MAX_CONTEXT = 512
ASKED: dict[str, Any] = {"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 3, "candles": candles()}
LATE = np.datetime64("2030-01-01", "us")


def job_of(request: PredictRequest) -> ForecastJob:
    """Return the job that the server prepares from a request with inline candles."""
    check_limits(request, LIMITS, MAX_CONTEXT)
    as_of = LATE if request.as_of is None else parse_instant(request.as_of, "as_of")
    instrument = default_instruments().get(request.symbol)
    assert request.candles is not None
    used = closed_window(parse_candles(request.candles), request, instrument, as_of, LIMITS)
    window = without_gaps(used)
    future = timestamps_to_forecast(request, window, instrument)
    odd = UsedCandles(request.symbol, request.timeframe, used.features, used.timestamps, future, instrument)
    assert all(code_of(text) in set(WarningCode) for text in candle_warnings(odd))
    events = None
    if request.events is not None:
        check_event_schema(request, 1)
        events = parse_events(request.events, len(window), request.pred_len)
    return forecast_job(request, window, future, events, 1 if request.seed is None else request.seed)


def check(body: bytes) -> None:
    """A body gives a sound job, or a refusal that can be written as JSON."""
    try:
        request, _ = parse_predict(body)
        if request.candles is None:
            return
        job = job_of(request)
    except (ServiceError, CandleError) as refusal:
        problem = problem_of(refusal, "/predict")
        assert 400 <= problem.status < 500
        json.dumps([problem.detail, problem.given, problem.expected]).encode()
        return
    assert job.candles.shape == (len(job.timestamps), 6)
    assert np.isfinite(job.candles.astype(np.float32)).all()
    times = np.concatenate([job.timestamps, job.future_timestamps])
    assert (np.diff(times) > np.timedelta64(0, "us")).all()
    assert len(job.future_timestamps) == request.pred_len
    assert job.events is None or np.isfinite(job.events).all()
    assert 32 <= len(job.timestamps) <= request.lookback


# JSON as text: what json.dumps would refuse to write is meant.
NUMBERS = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "1" + "0" * 400, "-" + "9" * 30, "1e-400", "0",
     "-0.0", "9007199254740993", "9223372036854775808", "18446744073709551616", "1e17", "1.0", "1e2", "01",
     "1.", "0x1"]
)  # fmt: skip
TIMES = st.sampled_from(
    ['"2024-03-04T00:00Z"', '"2024-03-04T00:00+05:30"', '"2024-03-04T23:59:59.999999-12:00"', '"2024-03-04"',
     '"2024-W10-1"', '"20240304T000000"', '"2024-03-10T02:30:00"', '"0001-01-01T00:00+14:00"',
     '"9999-12-31T23:59-12:00"', '"1969-12-31"', '"2200-01-01"', '"infinity"', '"now"', '""', '" "',
     '"2024-02-30"', '"2024-03-04T24:00"', "1709510400000", "1709510400", "-1", "17095104000000000",
     "1709510400000.5", "null", "true", "[]", "{}"]
)  # fmt: skip
STRINGS = st.sampled_from(
    ['""', '"\\u0000"', '"\\ud800"', '"' + "A" * 65 + '"', '"BTC-USD"', '"SPY"', '"../../etc/passwd"',
     '"\'; DROP TABLE ohlcv_1h; --"', '"\\u202e"', '"é"']
)  # fmt: skip
NESTED = st.sampled_from(
    ["[" * n + "]" * n for n in (3, 100, 5_000, 100_000)] + ['{"a":' * 5_000 + "1" + "}" * 5_000]
)
SCALARS = NUMBERS | TIMES | STRINGS | NESTED | st.sampled_from(["null", "true", "false", "[]", "{}", "[[]]"])
FIELDS = sorted({*PredictRequest.__struct_fields__, "unknown", ""})


def text_of(body: dict[str, str]) -> bytes:
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in body.items()) + "}").encode()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(changed=st.dictionaries(st.sampled_from(FIELDS), SCALARS, min_size=1, max_size=3))
def test_odd_values_in_any_field(changed: dict[str, str]) -> None:
    check(text_of({**{name: json.dumps(value) for name, value in ASKED.items()}, **changed}))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    column=st.sampled_from(["timestamp", "open", "high", "low", "close", "volume", "amount"]),
    odd=st.lists(st.tuples(st.integers(0, 39), NUMBERS | TIMES), max_size=4),
    length=st.sampled_from([0, 31, 39, 40, 41]),
    order=st.sampled_from(["kept", "reversed", "doubled"]),
)
def test_odd_values_in_any_column(column: str, odd: list[tuple[int, str]], length: int, order: str) -> None:
    columns = {name: [json.dumps(value) for value in values] for name, values in candles(41).items()}
    values = columns.get(column, ["1"] * 41)[:length]
    for row, value in odd:
        if row < length:
            values[row] = value
    values = {"kept": values, "reversed": values[::-1], "doubled": [v for v in values for _ in (0, 1)]}[order]
    columns = {**{name: kept[:40] for name, kept in columns.items()}, column: values}
    inner = text_of({name: f"[{','.join(kept)}]" for name, kept in columns.items()}).decode()
    check(text_of({**{name: json.dumps(value) for name, value in ASKED.items()}, "candles": inner}))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rows=st.sampled_from([0, 1, 39, 40, 43, 44]),
    columns=st.sampled_from([0, 19, 20, 21]),
    odd=NUMBERS | NESTED | st.just("null"),
    encoded=st.booleans(),
    data=st.binary(max_size=40),
)
def test_odd_events(rows: int, columns: int, odd: str, encoded: bool, data: bytes) -> None:
    cells = [["0"] * columns for _ in range(rows)]
    if rows and columns:
        cells[-1][-1] = odd
    listed = "[" + ",".join(f"[{','.join(row)}]" for row in cells) + "]"
    events = json.dumps({"shape": [rows, columns], "data": data.hex()}) if encoded else listed
    check(text_of({**{name: json.dumps(value) for name, value in ASKED.items()}, "events": events}))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(body=st.binary(max_size=60) | st.text(max_size=30).map(str.encode) | (SCALARS.map(str.encode)))
def test_bodies_that_are_no_requests(body: bytes) -> None:
    check(body)
    with pytest.raises(ServiceError):
        parse_batch(body, 10)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    part=st.sampled_from(["candles", "future_timestamps", "events"]),
    odd=SCALARS,
    symbols=st.lists(st.sampled_from(["BTC-USD", "A", ""]), max_size=4),
)
def test_one_odd_symbol_of_a_batch(part: str, odd: str, symbols: list[str]) -> None:
    body = text_of({"symbols": json.dumps(symbols), part: text_of({"A": odd}).decode()})
    with contextlib.suppress(ServiceError):
        batch = parse_batch(body, 3)
        assert batch.symbols == list(dict.fromkeys(symbols))
        assert set(batch.requests) | set(batch.failures) == set(symbols)
        assert set(batch.failures) <= {"A"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(zones=st.lists(st.integers(-23 * 60 - 59, 23 * 60 + 59), min_size=40, max_size=40))
def test_time_zones_may_be_mixed(zones: list[int]) -> None:
    plain = candles()
    moments = np.array([stamp.rstrip("Z") for stamp in plain["timestamp"]], dtype="datetime64[s]")
    offsets = [f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02}:{abs(zone) % 60:02}" for zone in zones]
    stamps = [
        f"{local}{offset}" for local, offset in zip(moments + np.array(zones, "m8[m]"), offsets, strict=True)
    ]
    request, _ = parse_predict(json.dumps({**ASKED, "candles": {**plain, "timestamp": stamps}}).encode())
    assert request.candles is not None
    np.testing.assert_array_equal(parse_candles(request.candles).timestamps, moments)


@pytest.mark.parametrize(("order", "row"), [([0, 2, 1], 2), ([0, 0, 1], 1), ([2, 1, 0], 1), ([0, 1, 1], 2)])
def test_unsorted_and_repeated_timestamps_name_their_row(order: list[int], row: int) -> None:
    stamps = [candles()["timestamp"][index] for index in order]
    body = json.dumps(
        {
            **ASKED,
            "candles": {
                **{name: [1.0] * 3 for name in ("open", "high", "low", "close")},
                "timestamp": stamps,
            },
        }
    )
    request, _ = parse_predict(body.encode())
    assert request.candles is not None
    with pytest.raises(ServiceError, match=rf"candles\.timestamp\[{row}\] .* is not after the one before"):
        parse_candles(request.candles)


def test_the_depth_that_is_read_is_bounded() -> None:
    with pytest.raises(ServiceError, match="nested too deeply"):
        parse_predict(b'{"symbol": "A", "unknown": ' + b"[" * 1_000_000)
