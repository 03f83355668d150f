"""One symbol's request and the row made of its answer, without server and database."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flows.forecasting.candles import PRICES, CandleWindow
from flows.forecasting.forecasts import Order, SamplingSettings, build_request, build_row, usable_lookback
from flows.forecasting.seeds import forecast_seed
from flows.scoring.calibration import Calibration
from inference_server.forecast.answers import predict_answer
from inference_server.forecast.preparation import can_be_nonpositive, forecast_job
from inference_server.forecast.windows import parse_candles, without_gaps
from inference_server.schemas import FeatureColumns, ModelName, PredictAnswer
from market.envelope import envelope, lowest_price, with_floor
from market.event_channels import EVENT_SCHEMA
from market.instruments import default_instruments

TIMES = np.datetime64("2024-12-18T00:00", "us") + np.arange(36) * np.timedelta64(3600, "s")
LAST = datetime(2024, 12, 19, 9, tzinfo=UTC)
WINDOW = CandleWindow(
    default_instruments()["BTC-USD"],
    TIMES[:34],
    {name: np.arange(34.0) for name in ("open", "high", "low", "close")},
    TIMES[34:],
)
CONTEXT = {"events_active": ["fomc"]}
ORDER = Order(
    symbol="BTC-USD",
    window=WINDOW,
    sampling=SamplingSettings("1h", 2, 3, 1.0, 0.9, 0, None),
    model_version="abc",
    events=np.zeros((36, 20), dtype=np.float32),
    event_context=CONTEXT,
)
FUTURE = [datetime(2024, 12, 19, 10, tzinfo=UTC), datetime(2024, 12, 19, 11, tzinfo=UTC)]
NOTHING = FeatureColumns(open=[], high=[], low=[], close=[], volume=[], amount=[])


def answer(events_used: bool = True, samples: list[list[float | list[float]]] | None = None) -> PredictAnswer:
    p10, p50, p90 = ([0.0, 0.0],) * 3 if samples is None else envelope(samples)
    return PredictAnswer(
        symbol="BTC-USD",
        timeframe="1h",
        as_of=LAST,
        timestamps=FUTURE,
        p10=list(p10),
        p50=list(p50),
        p90=list(p90),
        mean=NOTHING,
        samples=samples,
        seed=5,
        sample_count=3,
        lookback_used=34,
        model=ModelName(name="tiny", version="abc"),
        events_used=events_used,
        warnings=[],
    )


def test_the_request_says_all_that_the_run_decided() -> None:
    request = build_request(ORDER)
    assert request.symbol == "BTC-USD"
    assert (request.timeframe, request.pred_len, request.sample_count) == ("1h", 2, 3)
    assert (request.top_p, request.temperature, request.top_k) == (1.0, 0.9, 0)
    assert request.lookback == 34
    assert request.return_samples is False
    assert build_request(replace(ORDER, store_samples=True)).return_samples is True
    assert request.event_schema == EVENT_SCHEMA
    assert request.candles is not None
    assert len(request.candles.timestamp) == 34
    assert request.future_timestamps == [int(time.timestamp() * 1000) for time in FUTURE]
    assert request.events is None


def test_the_model_s_clock_is_the_instrument_s() -> None:
    assert build_request(ORDER).time_zone == "UTC"
    share = replace(WINDOW, instrument=default_instruments()["600519.SH"])
    assert build_request(replace(ORDER, window=share)).time_zone == "Asia/Shanghai"


POSITIVE = replace(WINDOW, columns={name: values + 1 for name, values in WINDOW.columns.items()})
NEGATIVE = replace(WINDOW, columns={name: values - 1 for name, values in WINDOW.columns.items()})
OIL = replace(POSITIVE, instrument=replace(WINDOW.instrument, allow_nonpositive=True))


def served(order: Order, paths: np.ndarray) -> PredictAnswer:
    """The server's answer to an order whose closes are `paths`, (3, 2), sent and read as JSON."""
    request = build_request(order)
    assert request.candles is not None
    window = without_gaps(parse_candles(request.candles))
    job = forecast_job(request, window, order.window.future_timestamps, None, 5)
    made = predict_answer(
        request,
        job,
        np.repeat(paths[:, :, None], 6, axis=2).astype(np.float32),
        ModelName(name="tiny", version="abc"),
        [],
        allow_nonpositive=can_be_nonpositive(request, None),
    )
    made.samples = None if made.samples is None else np.asarray(made.samples).tolist()
    return msgspec.json.decode(msgspec.json.encode(made), type=PredictAnswer)


def test_no_stored_quantile_is_below_zero_where_no_price_is() -> None:
    paths = np.array([[-3.0, 5.0], [-1.0, 6.0], [2.0, -7.0]])
    order = replace(ORDER, window=POSITIVE, store_samples=True)
    row = build_row(order, served(order, paths))
    assert (row.p10, row.p50, row.p90) == ([0.0, 0.0], [0.0, 5.0], [2.0, 6.0])
    assert row.samples == paths.tolist()
    for window in (NEGATIVE, OIL):
        order = replace(ORDER, window=window)
        assert build_row(order, served(order, paths)).p10 == [-3.0, -7.0]


@given(
    arrays(np.float32, (3, 2), elements=st.floats(-1e3, 1e3, width=32)),
    st.sampled_from([WINDOW, POSITIVE, NEGATIVE, OIL]),
)
def test_the_server_s_envelope_is_to_the_bit_that_of_the_stored_paths(
    paths: np.ndarray, window: CandleWindow
) -> None:
    order = replace(ORDER, window=window, store_samples=True)
    row = build_row(order, served(order, paths))
    prices = np.stack([window.columns[name] for name in PRICES])
    lowest = lowest_price(prices, allow_nonpositive=window.instrument.allow_nonpositive)
    assert row.samples is not None
    levels = with_floor(envelope(row.samples), lowest)
    for stored, level in zip((row.p10, row.p50, row.p90), levels, strict=True):
        assert np.array(stored).tobytes() == level.tobytes()
    order = replace(order, store_samples=False)
    assert build_row(order, served(order, paths)) == replace(row, samples=None)


def test_only_an_instrument_that_may_be_negative_says_so_in_its_request() -> None:
    assert build_request(replace(ORDER, window=OIL)).allow_nonpositive is True
    assert build_request(ORDER).allow_nonpositive is msgspec.UNSET


def test_the_seed_is_the_run_s_or_the_forecast_s_own() -> None:
    assert build_request(ORDER).seed == forecast_seed("BTC-USD", "1h", LAST, "abc")
    seeded = replace(ORDER, sampling=replace(ORDER.sampling, seed=0))
    assert build_request(seeded).seed == 0


def test_without_events_no_schema_is_claimed() -> None:
    assert build_request(replace(ORDER, events=None)).event_schema is None


def test_the_row_holds_the_envelope_of_the_answer() -> None:
    row = build_row(ORDER, answer(samples=[[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]]))
    assert row.p50 == [2.0, 5.0]
    assert row.p10 == [1.0, 5.0]
    assert row.p90 == [3.0, 5.0]
    assert (row.as_of, row.timestamps) == (LAST, FUTURE)
    assert (row.model_name, row.model_version, row.seed, row.pred_len) == ("tiny", "abc", 5, 2)
    assert row.event_context == CONTEXT


def test_a_forecast_that_did_not_use_its_events_has_no_context() -> None:
    assert build_row(ORDER, answer(events_used=False, samples=[[1.0, 5.0]])).event_context is None


def test_an_answer_without_the_paths_to_store_is_an_error() -> None:
    with pytest.raises(ValueError, match="without sample paths"):
        build_row(replace(ORDER, store_samples=True), answer())
    assert build_row(ORDER, answer()).samples is None


def test_a_calibration_widens_a_copy_of_the_envelope_and_samples_are_kept_on_demand() -> None:
    answered = answer(samples=[[10.0, 20.0], [12.0, 24.0], [14.0, 28.0]])
    raw = build_row(ORDER, answered)
    assert raw.p10_calibrated is None
    assert raw.p90_calibrated is None
    assert raw.samples is None
    calibration = Calibration(np.array([0.5, 1.0]), np.array([0.25, 0.0]), np.array([99, 99]))
    row = build_row(replace(ORDER, calibration=calibration, store_samples=True), answered)
    assert (row.p10, row.p50, row.p90) == (raw.p10, raw.p50, raw.p90)
    assert row.p10_calibrated == [8.0, 12.0]
    assert row.p90_calibrated == [15.0, 28.0]
    assert row.samples == answered.samples


@pytest.mark.parametrize(
    ("lookback", "pred_len", "max_context", "used"),
    [
        (None, 120, 512, 392),
        (None, 120, 2048, 512),
        (None, 480, 512, 32),
        (512, 120, 512, 512),
        (32, 600, 512, 32),
    ],
)
def test_lookback(lookback: int | None, pred_len: int, max_context: int, used: int) -> None:
    assert usable_lookback(lookback, pred_len, max_context, 32) == used


@pytest.mark.parametrize(
    ("lookback", "pred_len", "words"), [(31, 120, "at least 32"), (None, 481, "at most 480")]
)
def test_a_lookback_too_short_to_forecast_from(lookback: int | None, pred_len: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        usable_lookback(lookback, pred_len, 512, 32)
