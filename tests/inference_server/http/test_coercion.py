"""What FastAPI with pydantic takes in a body is taken as the same value, but what is listed at the end."""

import contextlib
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient as FastApiClient
from hypothesis import example, given
from hypothesis import strategies as st
from litestar.testing import TestClient
from pydantic import BaseModel, TypeAdapter, ValidationError

from inference_server.app import create_app
from inference_server.errors import InvalidBody
from inference_server.http.bodies import parse_batch, parse_predict
from inference_server.http.body_parts import parse
from inference_server.http.coercion import coerced
from inference_server.schemas import EventArray, Instant
from inference_server.settings import Settings
from tests.helpers.serving import LOOPBACK

REFUSED = "refused"
JSON = {"Content-Type": "application/json"}


class OldBody(BaseModel):
    """A body of /predict as a FastAPI service declares it."""

    symbol: str
    timeframe: str = "1d"
    pred_len: int = 120
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.9
    sample_count: int = 1
    lookback: int = 512
    as_of: str | None = None
    seed: int | None = None
    repair: bool = False
    candles: dict[str, list[float]] | None = None


def by_pydantic(value: Any, kind: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return REFUSED


def by_server(value: Any, kind: Any) -> Any:
    try:
        return parse(json.dumps(value).encode(), kind)
    except InvalidBody:
        return REFUSED


NUMBERS: list[Any] = [
    *("4", " 4 ", "4\n", "+4", "-4", "04", "1_000", "4.0", "4.000", "1_000.0", "-0"),
    *(
        "0.9",
        ".5",
        "5.",
        "1e-3",
        "1E5",
        "4.5",
        "1e3",
        "1_",
        "_1",
        "1__0",
        "0x4",
        "1,5",
        "",
        " ",
        "-",
        ".",
        "e5",
    ),
    *("--4", "+ 4", "four", "null", "None", "٤", "4٤"),
    *(4, 4.0, 4.5, -0.0, 1e18, 9.3e18, 1e30, True, False, None, [], {}),
]
WORDS = [
    *("1", "0", "true", "false", "t", "f", "yes", "no", "y", "n", "on", "off", "TRUE", "Off", "yEs"),
    *(" true", "2", "1.0", "oui", "full"),
    *(1, 0, 1.0, 0.0, 2, 0.5),
]


@pytest.mark.parametrize("kind", [int, float, bool, int | None, float | None], ids=str)
def test_a_table_of_scalars_is_taken_as_pydantic_takes_it(kind: Any) -> None:
    for value in [*NUMBERS, *WORDS]:
        ours, pydantics = by_server(value, kind), by_pydantic(value, kind)
        assert (type(ours), repr(ours)) == (type(pydantics), repr(pydantics)), value


WRITTEN: list[Callable[[Any], Any]] = [
    lambda number: number,
    str,
    float,
    "{} ".format,
    "\t{}".format,
    "{:+}".format,
    "{:_}".format,
    "{:012}".format,
    "{:.1f}".format,
    "{:_.3f}".format,
]


@given(
    number=st.integers(-(2**53), 2**53) | st.floats(-(2**53), 2**53),
    write=st.sampled_from(WRITTEN),
    kind=st.sampled_from([int, float]),
)
def test_a_number_in_any_writing_is_taken_as_pydantic_takes_it(
    number: float, write: Callable[[Any], Any], kind: type
) -> None:
    assert repr(by_server(write(number), kind)) == repr(by_pydantic(write(number), kind))


@given(
    text=st.text(string.printable, max_size=6) | st.text("0123456789+-._eE ", max_size=8),
    kind=st.sampled_from([int, float, bool]),
)
@example(text="nan", kind=float)
@example(text="-Infinity", kind=float)
@example(text="1_1 ", kind=float)
def test_no_text_is_taken_that_pydantic_refuses(text: str, kind: type) -> None:
    coerced = by_server(text, kind)
    assert coerced == REFUSED or repr(coerced) == repr(by_pydantic(text, kind))


@pytest.mark.parametrize(
    "text", ["nan", "NaN", "inf", "Infinity", "-inf", "1e400", "-_1", "1._0", "\u00a05", "1" * 401]
)
def test_pydantic_takes_more_texts_for_a_float(text: str) -> None:
    """Not finite, of no use in a forecast, or in an unusual notation."""
    assert by_pydantic(text, float) != REFUSED
    assert by_server(text, float) == REFUSED


@pytest.mark.parametrize(
    ("value", "kind", "taken"),
    [
        ("2024-01-01", Instant, "2024-01-01"),
        ("1709510400", Instant, "1709510400"),
        (1709510400.0, Instant, 1709510400),
        (True, Instant, True),  # refused when it is read
        ("full", bool | str, "full"),
        (["1", 2, None, "x"], list[float | None] | None, [1.0, 2, None, "x"]),
        ([["1"], [0.5]], EventArray, [[1.0], [0.5]]),
        ({"shape": ["40", 20.0], "data": "AAAA"}, EventArray, {"shape": [40, 20], "data": "AAAA"}),
        ({"A": ["1"]}, dict[str, list[int]], {"A": [1]}),
        ({"shape": ["40"]}, EventArray, {"shape": ["40"]}),
        ("5", list[int], "5"),
        ("9" * 4000, int, "9" * 4000),
        (str(2**63), int, str(2**63)),
    ],
)
def test_only_what_is_no_number_yet_changes(value: Any, kind: Any, taken: Any) -> None:
    assert repr(coerced(value, kind)) == repr(taken)


def body(**fields: Any) -> bytes:
    return json.dumps({"symbol": "A", **fields}).encode()


FIELDS: list[dict[str, Any]] = [
    {},
    {"pred_len": "24", "lookback": 400.0, "top_p": "0.9", "temperature": "1", "sample_count": True},
    {"pred_len": "24.5"},
    {"pred_len": "x"},
    {"pred_len": None},
    {"top_p": None},
    {"as_of": None, "seed": None},
    {"as_of": "2024-01-01T00:00:00Z", "seed": "7"},
    {"seed": "null"},
    {"repair": "yes", "timeframe": "1h"},
    {"repair": 1},
    {"repair": 2},
    {"symbol": 5},
    {"symbol": None},
    {"model": "base", "verbose": True},
    {"candles": {name: ["1", 2, 3.5] for name in ("open", "high", "low", "close")}},
    {"candles": {"open": ["1", "x"]}},
    {"candles": {"open": [None]}},
]


@pytest.mark.parametrize("fields", FIELDS, ids=range(len(FIELDS)))
def test_a_whole_body_is_taken_or_refused_as_by_pydantic(fields: dict[str, Any]) -> None:
    old = by_pydantic(json.loads(body(**fields)), OldBody)
    if "candles" in fields:
        fields = {"candles": {"timestamp": ["2024-01-01"], **fields["candles"]}}
    if old == REFUSED:
        with pytest.raises(InvalidBody):
            parse_predict(body(**fields))
        return
    request, _ = parse_predict(body(**fields))
    assert {
        name: getattr(request, name) for name in OldBody.model_fields if name != "candles"
    } == old.model_dump(exclude={"candles"})
    if old.candles is not None:
        assert {name: getattr(request.candles, name) for name in old.candles} == old.candles


def test_a_batch_takes_text_for_numbers_too() -> None:
    columns = {name: ["1.5"] for name in ("open", "high", "low", "close")} | {"timestamp": ["2024-01-01"]}
    batch = parse_batch(
        json.dumps({"symbols": ["A"], "pred_len": "5", "candles": {"A": columns}}).encode(), max_symbols=1
    )
    request = batch.requests["A"]
    assert request.candles is not None
    assert (request.pred_len, request.candles.close, batch.warnings) == (5, [1.5], [])


def test_what_is_still_wrong_is_named_with_the_value_as_it_was_sent() -> None:
    with pytest.raises(InvalidBody, match=r"`float` <= 1.0 - at `\$.top_p`") as refused:
        parse_predict(body(pred_len="24", top_p="1.5"))
    assert refused.value.given == "1.5"


OLD = FastAPI()


@OLD.post("/predict")
def _predict(request: OldBody) -> dict[str, str]:
    return {"symbol": request.symbol}


def statuses(sent: dict[str, Any], path: str = "/predict") -> tuple[int, int]:
    """The old service's status and ours; 200 here means read, since no model is loaded to answer."""
    sent = {"headers": JSON, **sent}
    with contextlib.closing(FastApiClient(OLD, raise_server_exceptions=False)) as old:
        before = old.post(path, **sent).status_code
    # Not started, so that it needs no bundle.
    now = TestClient(create_app(Settings(bundle=Path("none"))), base_url=LOOPBACK).post(path, **sent)
    read = now.status_code == 503 and now.json()["type"].endswith("model-not-ready")
    if not read:
        assert now.headers["content-type"] == "application/problem+json"
    return before, 200 if read else now.status_code


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b'{"symbol": "A"}'}, 200),
        ({"content": b'{"symbol": "A", "symbol": "B"}'}, 200),
        ({"content": b'\xef\xbb\xbf{"symbol": "A"}'}, 200),
        ({"content": '{"symbol": "é"}'.encode("utf-16")}, 200),
        ({"content": '{"symbol": "é"}'.encode("utf-32-be")}, 200),
        (
            {"content": b'{"symbol": "A"}', "headers": {"Content-Type": "application/json; charset=latin-1"}},
            200,
        ),
        ({"content": b'{"symbol": "A"}', "headers": {"Content-Type": "application/vnd.x+json"}}, 200),
        ({"content": b""}, 422),
        ({"content": b"{"}, 422),
        ({"content": b"[]"}, 422),
        ({"content": b"{}"}, 422),
        ({"content": b'{"symbol": "A", "pred_len": "x"}'}, 422),
    ],
)
def test_the_status_is_the_one_of_the_old_service(sent: dict[str, Any], status: int) -> None:
    assert statuses(sent) == (status, status)


@pytest.mark.parametrize(
    ("sent", "path", "before", "now"),
    [
        # A slash at the end is answered at once.
        ({"content": b'{"symbol": "A"}', "follow_redirects": False}, "/predict/", 307, 200),
        # There are no such candles.
        ({"content": b'{"symbol": "A", "timeframe": "3h"}'}, "/predict", 200, 422),
        # Ranges that a forecast needs.
        ({"content": b'{"symbol": "", "pred_len": 0}'}, "/predict", 200, 422),
        # No JSON, and of no use in a forecast.
        ({"content": b'{"symbol": "A", "top_p": NaN}'}, "/predict", 200, 422),
        ({"content": b'{"symbol": "A", "top_p": -Infinity}'}, "/predict", 200, 422),
        # Unix times are taken for instants.
        ({"content": b'{"symbol": "A", "as_of": 1709510400}'}, "/predict", 422, 200),
        # No valid text.
        ({"content": b'{"symbol": "A\xff"}'}, "/predict", 400, 422),
        ({"content": b'{"symbol": "\\ud800"}'}, "/predict", 500, 422),
        # Any page in a browser may send a body of another kind or of none (older FastAPI takes that of none).
        ({"content": b'{"symbol": "A"}', "headers": {"Content-Type": "text/plain"}}, "/predict", 422, 415),
        ({"content": b'{"symbol": "A"}', "headers": {}}, "/predict", 422, 415),
    ],
)  # fmt: skip
def test_what_differs_from_the_old_service(sent: dict[str, Any], path: str, before: int, now: int) -> None:
    assert statuses(sent, path) == (before, now)
