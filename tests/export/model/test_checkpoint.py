import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from export.errors import CheckpointError
from export.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    resolve,
    trained_clock,
    training_span,
    training_timeframes,
)
from export.model.decoder import KronosDecoder
from export.model.sizes import SIZES


@pytest.fixture
def weights(tiny_checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return load_file(tiny_checkpoint.decoder_source.folder / "model.safetensors")


def test_names_and_shapes_are_the_published_ones(tiny_checkpoint: Checkpoint) -> None:
    kronos = pytest.importorskip("model.kronos", reason="the oracle kronos-model-arch is not installed")
    for ours, theirs in (
        (tiny_checkpoint.decoder, kronos.Kronos(**vars(SIZES["tiny"].decoder))),
        (tiny_checkpoint.tokenizer, kronos.KronosTokenizer(**vars(SIZES["tiny"].tokenizer))),
    ):
        expected = {n: t.shape for n, t in theirs.state_dict().items() if not n.startswith("tokenizer.bsq.")}
        assert {n: t.shape for n, t in ours.state_dict().items()} == expected


def test_a_loaded_checkpoint_is_in_eval_mode(tiny_checkpoint: Checkpoint) -> None:
    assert not tiny_checkpoint.decoder.training
    assert not tiny_checkpoint.tokenizer.training


@pytest.mark.parametrize("present", [True, False])
def test_optional_buffers_may_be_absent_or_present(
    present: bool, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    name = "transformer.0.self_attn.rotary.inv_freq"
    tensors = {n: t for n, t in weights.items() if not n.endswith("inv_freq")}
    if present:
        tensors[name] = weights[name] * 2
        tensors["tokenizer.bsq.basis"] = torch.ones(20)
    save_file(tensors, tmp_path / "model.safetensors")
    decoder = KronosDecoder(SIZES["tiny"].decoder)
    load_weights(decoder, tmp_path / "model.safetensors")
    torch.testing.assert_close(decoder.state_dict()[name], weights[name] * (2 if present else 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"missing norm.weight \(64,\)"),
        ("extra", r"unexpected spare.weight \(3,\)"),
        ("shape", r"norm.weight is \(65,\), expected \(64,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: str, message: str, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    tensors = dict(weights)
    if change == "missing":
        del tensors["norm.weight"]
    elif change == "extra":
        tensors["spare.weight"] = torch.zeros(3)
    else:
        tensors["norm.weight"] = torch.zeros(65)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_weights(KronosDecoder(SIZES["tiny"].decoder), tmp_path / "model.safetensors")


def test_many_problems_are_counted(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file({"norm.weight": weights["norm.weight"]}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"and \d+ more"):
        load_weights(KronosDecoder(SIZES["tiny"].decoder), tmp_path / "model.safetensors")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        load_weights(KronosDecoder(SIZES["tiny"].decoder), tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("no such folder", None, "neither a directory nor a Hugging Face id"),
        (".", "main", "which is a local directory"),
    ],
)
def test_a_source_that_can_not_be_is_refused(name: str, revision: str | None, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        resolve(name, revision)


def test_a_hub_that_can_not_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **settings: object) -> str:
        raise OSError("no network here")

    monkeypatch.setattr("export.model.checkpoint.snapshot_download", offline)
    with pytest.raises(CheckpointError, match="could not be fetched from Hugging Face: no network here"):
        resolve("NeoQuasar/Kronos-mini", None)


def test_a_hub_snapshot_is_loaded_and_its_commit_recorded(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's cache keeps a snapshot in a folder named by its commit."""
    for part, source in (
        ("model", tiny_checkpoint.decoder_source),
        ("tok", tiny_checkpoint.tokenizer_source),
    ):
        (tmp_path / part).mkdir()
        (tmp_path / part / "abc123").symlink_to(source.folder)

    def snapshot(name: str, **settings: object) -> str:
        return str(tmp_path / name.split("/")[1] / "abc123")

    monkeypatch.setattr("export.model.checkpoint.snapshot_download", snapshot)
    checkpoint = load_checkpoint("owner/model", "owner/tok", revision="v1")
    assert checkpoint.decoder_source.revision == "abc123"
    assert checkpoint.decoder_source.name == "owner/model"


@pytest.mark.parametrize(
    ("record", "clock"),
    [
        (None, None),
        ('{"trained": "decoder", "model_clock": "Asia/Shanghai"}', "Asia/Shanghai"),
        ('{"trained": "decoder", "model_clock": "instrument"}', "instrument"),
        ('{"trained": "decoder"}', "UTC"),
        ('{"epochs": 3}', None),
        ("[]", None),
    ],
)
def test_the_clock_of_a_training_is_what_its_record_says(
    record: str | None, clock: str | None, tmp_path: Path
) -> None:
    if record is not None:
        (tmp_path / "training.json").write_text(record)
    assert trained_clock(tmp_path) == clock


def test_the_span_of_the_trainings_is_from_their_first_candle_to_their_last(tmp_path: Path) -> None:
    records = {
        "decoder": {"training_data": ["2020-01-02T03:00:00.000000", "2020-12-31T23:00:00.000000"]},
        "events": {
            "training_data": ["2020-06-01T00:00:00.000000", "2020-12-31T00:00:00.000000"],
            "validation_data": ["2021-01-01T00:00:00.000000", "2021-03-01T05:00:00.000000"],
        },
    }
    for name, parts in records.items():
        (tmp_path / name).mkdir()
        record = {part: [{"first": first, "last": last}] for part, (first, last) in parts.items()}
        (tmp_path / name / "training.json").write_text(json.dumps({"trained": name, **record}))
    folders = [tmp_path / "decoder", tmp_path / "nothing", tmp_path / "events"]
    assert training_span(folders) == ("2020-01-02T03:00:00Z", "2021-03-01T05:00:00Z")
    assert training_span(folders[:1]) == ("2020-01-02T03:00:00Z", "2020-12-31T23:00:00Z")
    assert training_span([tmp_path / "nothing"]) is None


def test_the_candles_of_a_training_are_counted_by_timeframe(tmp_path: Path) -> None:
    parts = [("1d", 500), ("1h", 4000), ("1h", 2000), ("4h", 1500)]
    data = [{"timeframe": timeframe, "candles": candles} for timeframe, candles in parts]
    (tmp_path / "training.json").write_text(json.dumps({"trained": "decoder", "training_data": data}))
    found = training_timeframes(tmp_path)
    assert found is not None
    assert list(found.items()) == [("1h", 6000), ("4h", 1500), ("1d", 500)]
    assert training_timeframes(tmp_path / "nothing") is None


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot read the training record .*training\.json"):
        trained_clock(tmp_path)
