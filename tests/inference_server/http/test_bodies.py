"""Bodies: types, ignored fields named, one symbol's fault kept to itself, and no body that crashes."""

import base64
import contextlib
import gzip
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.errors import BeyondLimit, BodyTooLarge, InvalidBody, UnsupportedMedia
from inference_server.http.bodies import parse_batch, parse_predict
from inference_server.http.body_encoding import decompressed
from inference_server.schemas import Candles, EncodedArray, PredictRequest, ProbabilityRequest

CANDLES = {"timestamp": [1], "open": [1], "high": [1], "low": [1], "close": [1]}


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_an_old_callers_body_gets_the_defaults() -> None:
    request, warnings = parse_predict(
        body(symbol="SPY", timeframe="1h", pred_len=24, as_of=None, lookback=400)
    )
    assert (request.symbol, request.timeframe, request.pred_len, request.lookback) == ("SPY", "1h", 24, 400)
    assert (request.temperature, request.top_k, request.top_p, request.sample_count) == (1.0, 0, 0.9, 1)
    assert (request.context_stride, request.return_samples, request.seed, request.events) == (
        1,
        False,
        None,
        None,
    )
    assert warnings == []
    assert parse_predict(body(symbol="SPY"))[0] == PredictRequest(symbol="SPY")
    assert PredictRequest(symbol="SPY").timeframe == "1d"


def test_unknown_fields_are_ignored_and_named() -> None:
    raw = body(symbol="SPY", model="base", verbose=True, candles={**CANDLES, "trades": [5]})
    request, warnings = parse_predict(raw)
    assert request.candles == Candles(timestamp=[1], open=[1.0], high=[1.0], low=[1.0], close=[1.0])
    assert warnings == ["fields-ignored: unknown fields were ignored: model, verbose, candles.trades"]


def test_unknown_fields_of_probabilities_are_named_too() -> None:
    (warning,) = parse_predict(body(symbol="SPY", probabilities={"closes_above": [1], "touch": [2]}))[1]
    assert warning.endswith("ignored: probabilities.closes_above")
    batch = parse_batch(body(symbols=["A"], probabilities={"A": {"up": True}}), 9)
    assert batch.warnings == ["fields-ignored: unknown fields were ignored: probabilities.A.up"]
    assert batch.requests == {"A": PredictRequest(symbol="A", probabilities=ProbabilityRequest())}


def test_many_unknown_fields_are_counted() -> None:
    (warning,) = parse_predict(body(symbol="SPY", **{f"field{i}": 0 for i in range(12)}))[1]
    assert warning.endswith("field9 and 2 more")


def test_events_travel_as_lists_or_base64() -> None:
    assert parse_predict(body(symbol="A", events=[[0, 1.5]]))[0].events == [[0.0, 1.5]]
    encoded = {"shape": [1, 2], "data": base64.b64encode(b"12345678").decode()}
    assert parse_predict(body(symbol="A", events=encoded))[0].events == EncodedArray(
        shape=(1, 2), data=b"12345678"
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b'{"symbol": "A", "top_p": NaN}', "no NaN or Infinity"),
        (b'{"symbol": "\xff"}', "not JSON"),
        (b'{"symbol": "\\ud800"}', "not JSON"),
        (b'{"symbol": "A", "x": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", "nested too deeply"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `symbol`"),
        (body(symbol=5), "`str`, got `int`"),
        (body(symbol=""), "length >= 1"),
        (body(symbol="A", timeframe="3h"), "unknown timeframe '3h'; expected one of 1m, 5m"),
        (body(symbol="A", pred_len="1.5"), r"Expected `int`, got `str` - at `\$.pred_len`"),
        (body(symbol="A", pred_len=0), "`int` >= 1"),
        (body(symbol="A", pred_len=1.5), "`int`, got `float`"),
        (b'{"symbol": "A", "pred_len": 1e400}', "out of range"),
        (b'{"symbol": "A", "seed": ' + b"9" * 5000 + b"}", "out of range"),
        (body(symbol="A", seed=-1), ">= 0"),
        (body(symbol="A", seed=2**63), "seed"),
        (body(symbol="A", temperature=0), "temperature"),
        (body(symbol="A", top_p=1.5), "top_p"),
        (body(symbol="A", return_samples="half"), "Invalid enum value"),
        (body(symbol="A", candles={**CANDLES, "open": ["x"]}), r"got `str` - at `\$.candles.open\[0\]`"),
        (body(symbol="A", candles={**CANDLES, "open": [None]}), r"got `null` - at `\$.candles.open\[0\]`"),
        (body(symbol="A", candles={"open": [1]}), "missing required field `timestamp`"),
        (body(symbol="A", events={"shape": [1, 2], "data": "!!"}), "base64"),
    ],
)
def test_what_cannot_be_read_says_where(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidBody, match=message):
        parse_predict(raw)


def test_the_value_given_is_shown() -> None:
    with pytest.raises(InvalidBody) as refused:
        parse_predict(body(symbol="A", pred_len="1.5"))
    assert refused.value.given == "1.5"


def test_a_batch_gives_each_symbol_its_own_request() -> None:
    raw = body(symbols=["A", "B"], pred_len=5, seed=3, candles={"A": CANDLES}, events={"B": [[1.0]]})
    batch = parse_batch(raw, max_symbols=2)
    assert batch.requests == {
        "A": PredictRequest(
            symbol="A",
            pred_len=5,
            seed=3,
            candles=Candles(timestamp=[1], open=[1], high=[1], low=[1], close=[1]),
        ),
        "B": PredictRequest(symbol="B", pred_len=5, seed=3, events=[[1.0]]),
    }
    assert (batch.symbols, batch.failures, batch.warnings) == (["A", "B"], {}, [])


def test_a_broken_part_fails_its_symbol_alone() -> None:
    batch = parse_batch(body(symbols=["A", "B", "C"], candles={"A": {"open": "x"}, "B": 5}), max_symbols=3)
    assert batch.symbols == ["A", "B", "C"]
    assert list(batch.requests) == ["C"]
    assert str(batch.failures["A"]) == "Expected `array`, got `str` - at `$.candles.A.open`"
    assert str(batch.failures["B"]) == "Expected `object | null`, got `int` - at `$.candles.B`"


def test_odd_parts_of_a_batch_are_named() -> None:
    raw = body(symbols=["A", "B", "A"], events={"C": [[0.0]]}, candles={"A": {**CANDLES, "n": 1}}, page=2)
    batch = parse_batch(raw, max_symbols=3)
    assert batch.symbols == list(batch.requests) == ["A", "B"]
    assert batch.warnings == [
        "fields-ignored: unknown fields were ignored: page, candles.A.n",
        "symbols-repeated: listed more than once, answered once: A",
        "symbols-ignored: events of symbols that are not in symbols were ignored: C",
    ]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (body(symbols=[]), InvalidBody),
        (body(symbols="A"), InvalidBody),
        (body(symbols=["A"], pred_len="x"), InvalidBody),
        (body(symbols=["A"], candles=[]), InvalidBody),
        (body(symbols=["A", "B", "C", "D"]), BeyondLimit),
    ],
)
def test_what_all_symbols_share_fails_the_batch(raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_batch(raw, max_symbols=3)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [*PredictRequest.__struct_fields__, "symbols", "other"]


@given(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON | st.just(CANDLES) | st.just(["A"]), max_size=6))
def test_any_json_is_read_or_refused(fields: dict[str, Any]) -> None:
    for parse in (parse_predict, lambda raw: parse_batch(raw, max_symbols=3)):
        for raw in (body(**fields), body(**{"symbol": "A", "symbols": ["A"], **fields})):
            with contextlib.suppress(InvalidBody, BeyondLimit):
                parse(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with pytest.raises(InvalidBody):
        parse_predict(raw)


def packed(raw: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        raw = gzip.compress(raw)
    return raw


def test_a_packed_body_is_the_body() -> None:
    raw = body(symbol="A")
    assert decompressed(raw, "", 10) == raw
    assert decompressed(raw, "identity", 10) == raw
    for whole in (packed(raw), packed(raw[:5]) + packed(raw[5:])):
        assert decompressed(whole, " GZIP ", len(raw)) == raw


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = packed(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(BodyTooLarge, match="more than 1000 bytes once it is unpacked"):
        decompressed(bomb, "gzip", 1000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "raw", [b"no gzip", packed(b"x" * 1000)[:-9], packed(b"x")[:4]], ids=["other", "cut", "a head alone"]
)
def test_a_body_that_is_no_whole_gzip_says_so(raw: bytes) -> None:
    with pytest.raises(InvalidBody, match="gzip"):
        decompressed(raw, "gzip", 10_000)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_another_packing_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia) as refused:
        decompressed(b"x", encoding, 10)
    assert refused.value.given == encoding


@pytest.mark.parametrize(("text", "timeframe"), [("60m", "1h"), ("1D", "1d"), ("5min", "5m"), ("1w", "1w")])
def test_other_spellings_of_a_timeframe_are_taken(text: str, timeframe: str) -> None:
    assert parse_predict(body(symbol="A", timeframe=text))[0].timeframe == timeframe
    assert parse_batch(body(symbols=["A"], timeframe=text), 1).requests["A"].timeframe == timeframe


def test_a_month_is_refused_by_name() -> None:
    with pytest.raises(InvalidBody, match=r"'1M' is a month elsewhere.* - at `\$.timeframe`") as refused:
        parse_predict(body(symbol="A", timeframe="1M"))
    assert refused.value.given == "1M"
