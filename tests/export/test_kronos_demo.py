"""The checkpoint that is shipped: that it loads, is small, and was trained on what may be passed on."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from export.model.adapter import load_adapter
from export.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    trained_clock,
    training_span,
    training_timeframes,
)
from export.model.event_encoder import load_events
from export.model.sizes import SIZES
from inference_server.forecast.input_warnings import timeframe_warnings
from training.folding.code import PRICE_LIMIT
from training.record import trained_price_limit

DEMO = Path(str(files("export"))) / "kronos_demo"
RECORDS = tuple(
    str(file.relative_to(DEMO))
    for pattern in ("**/training.json", "earlier/*.json")
    for file in DEMO.glob(pattern)
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(str(DEMO / "model"), str(DEMO / "tokenizer"))


def test_it_loads_with_its_events_and_adapter(checkpoint: Checkpoint) -> None:
    assert checkpoint.decoder.config == SIZES["demo"].decoder
    assert checkpoint.tokenizer.config == SIZES["demo"].tokenizer
    events = load_events(DEMO / "events.safetensors", checkpoint.decoder.config.d_model)
    assert events.alignment == "next"
    assert load_adapter(DEMO / "adapter", checkpoint.decoder).rank == 8


def test_its_clock_is_known() -> None:
    assert trained_clock(DEMO / "model") == "UTC"


def test_its_training_span_is_known() -> None:
    folders = [DEMO, DEMO / "model", DEMO / "tokenizer"]
    assert training_span(folders) == ("2012-05-17T05:00:00Z", "2021-12-31T23:00:00Z")


def test_it_was_trained_on_hourly_and_four_hour_candles_and_on_few_daily_ones() -> None:
    candles = training_timeframes(DEMO / "model")
    assert candles is not None
    assert list(candles) == ["1h", "4h", "1d"]
    assert timeframe_warnings(candles, "1h") == timeframe_warnings(candles, "4h") == []
    assert len(timeframe_warnings(candles, "1d")) == 1


def test_its_tokenizer_tells_prices_apart_to_ten_standard_deviations() -> None:
    assert trained_price_limit(DEMO / "tokenizer") == PRICE_LIMIT == 10


@pytest.mark.parametrize("name", RECORDS)
def test_records_name_what_each_training_began_with_by_its_place_in_the_folder(name: str) -> None:
    record = json.loads((DEMO / name).read_text())
    for source in ("tokenizer", "model", "initial"):
        assert source not in record or (DEMO / record[source]).exists()
    assert re.fullmatch("[0-9a-f]{40}", record["commit"])


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in DEMO.rglob("*.safetensors")) < 6e6


@pytest.mark.parametrize("name", RECORDS)
def test_nothing_from_2022_on_and_only_free_licences_went_into_it(name: str) -> None:
    record = json.loads((DEMO / name).read_text())
    assert record["validation_from"] >= "2021-01-01"
    for part, end in (("training_data", record["validation_from"]), ("validation_data", "2022-01-01")):
        assert record[part]
        for each in record[part]:
            assert each["last"] < end
            assert each["licence"].startswith(("MIT", "Apache-2.0", "ODC-PDDL"))
            assert each["symbol"] != "EURUSD"


def test_channels_that_its_training_never_showed_have_no_effect(checkpoint: Checkpoint) -> None:
    silent = json.loads((DEMO / "training.json").read_text())["silent_channels"]
    events = load_events(DEMO / "events.safetensors", checkpoint.decoder.config.d_model)
    assert not events.encoder.proj.weight[:, silent].any()


def test_the_card_shows_the_figures_that_were_measured() -> None:
    card = (DEMO / "MODEL_CARD.md").read_text()
    figures = json.loads((DEMO / "evaluation.json").read_text())
    for figure in (figure for part in figures.values() for figure in part):
        assert f"| {figure['name']} |" in card
