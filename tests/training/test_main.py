import json
from pathlib import Path

import pytest

from export.model.adapter import load_adapter
from export.model.checkpoint import load_checkpoint
from export.model.event_encoder import load_events
from tests.helpers.stretches import DECODER, SPLIT, TOKENIZER, UNTIL, write_folder
from training.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("market")
    write_folder(out)
    DECODER.write(out / "decoder.json")
    TOKENIZER.write(out / "tokenizer.json")
    return out


def arguments(folder: Path, command: str, out: Path, *more: str) -> list[str]:
    brief = ("--window", "64", "--rows", "2", "--steps", "4", "--evaluate-every", "2")
    dates = ("--validation-from", SPLIT, "--until", UNTIL)
    return [command, "--data", str(folder), "--out", str(out), *dates, *brief, *more]


def test_a_trained_checkpoint_can_be_exported(folder: Path, tmp_path: Path) -> None:
    tokenizer, model, events = (tmp_path / name for name in ("tokenizer", "model", "events"))
    sizes = ("--size", str(folder / "tokenizer.json")), ("--size", str(folder / "decoder.json"))
    assert main(arguments(folder, "tokenizer", tokenizer, *sizes[0], "--mirror")) == 0
    assert main(arguments(folder, "decoder", model, *sizes[1], "--tokenizer", str(tokenizer))) == 0
    base = ("--model", str(model), "--tokenizer", str(tokenizer))
    assert main(arguments(folder, "events", events, *base, "--timeframes", "60m,2h")) == 0

    record = json.loads((events / "training.json").read_text())
    assert record["trained"] == "events"
    assert record["validation_from"] == SPLIT
    assert {stretch["licence"] for stretch in record["training_data"]} == {"Apache-2.0", "MIT per README"}
    assert max(stretch["last"] for stretch in record["training_data"]) < SPLIT
    assert max(stretch["last"] for stretch in record["validation_data"]) < UNTIL
    assert {stretch["timeframe"] for stretch in record["training_data"]} == {"1h", "2h"}
    assert {
        json.loads((part / "training.json").read_text())["price_limit"] for part in (tokenizer, model)
    } == {10}
    assert record["price_limit"] == 10
    assert record["steps_run"] == 4
    assert record["schedule"]["seed"] == 0

    checkpoint = load_checkpoint(str(model), str(tokenizer))
    assert load_events(events / "events.safetensors", DECODER.d_model).alignment == "next"
    assert load_adapter(events / "adapter", checkpoint.decoder).rank == 8


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--size", "huge"), "cannot read huge"),
        (("--size", "tiny", "--symbols", "EURUSD"), "no usable candles of EURUSD"),
        (("--size", "tiny", "--until", "2020-01-01"), "must be later than --validation-from"),
        (("--size", "tiny", "--window", "5000"), "no stretch holds a window of 5000 candles"),
        (("--size", "tiny", "--resume"), "to resume from"),
        (("--size", "tiny", "--timeframes", "1m"), "no usable candles of any symbol"),
        (("--size", "tiny", "--data", "nowhere"), "nowhere has neither candles_1h nor candles_1d"),
    ],
)
def test_an_error_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert main(arguments(folder, "tokenizer", tmp_path / "out", *more)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
