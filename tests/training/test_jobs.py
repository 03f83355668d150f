from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.errors import CheckpointError
from export.model.adapter import load_adapter, merged
from export.model.checkpoint import load_checkpoint, save_checkpoint, trained_clock
from export.model.decoder import KronosDecoder
from export.model.event_encoder import load_events
from tests.helpers.stretches import DECODER, TOKENIZER, stretch
from training.data.stretches import Stretch
from training.data.windows import Sampler
from training.jobs import EventModel, Job, train_decoder, train_events, train_tokenizer
from training.loop import Schedule, TrainingProgress
from training.objective import token_nll
from training.record import trained_price_limit, write_record

SCHEDULE = Schedule(steps=40, learning_rate=5e-3, seed=1, evaluate_every=20, patience=5)


def with_flags(stretch_: Stretch) -> Stretch:
    rows = np.zeros((len(stretch_), 20), np.float32)
    rows[::9, 0] = 1
    rows[:, 10] = np.linspace(0, 1, len(rows))
    return replace(stretch_, events=rows)


def job(out: Path, **changes: Any) -> Job:
    training = [with_flags(stretch(200)), with_flags(stretch(150, seed=1))]
    validation = [with_flags(stretch(120, seed=2))]
    return Job(training, validation, 48, 4, False, SCHEDULE, out, False, {"until": "2021"}, **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, TrainingProgress]]:
    """Folder with a tokenizer, a decoder and events, each trained for a few steps, and their progress."""
    folder = tmp_path_factory.mktemp("trained")
    done = {"tokenizer": train_tokenizer(TOKENIZER, job(folder / "tokenizer"))}
    torch.manual_seed(5)  # the trainings seed themselves
    tokenizer = str(folder / "tokenizer")
    blank = KronosDecoder(DECODER)
    save_checkpoint(blank, folder / "blank")
    done["decoder"] = train_decoder(
        DECODER, load_checkpoint(str(folder / "blank"), tokenizer).tokenizer, job(folder / "model")
    )
    checkpoint = load_checkpoint(str(folder / "model"), tokenizer)
    done["events"] = train_events(checkpoint, job(folder / "events"))
    return folder, done


def test_a_training_may_begin_with_the_weights_of_another(
    trained: tuple[Path, dict[str, TrainingProgress]], tmp_path: Path
) -> None:
    folder, done = trained
    tokenizer = load_checkpoint(str(folder / "model"), str(folder / "tokenizer")).tokenizer
    schedule = replace(SCHEDULE, steps=1, learning_rate=1e-9)
    settings = replace(job(tmp_path / "model"), schedule=schedule)
    progress = train_decoder(DECODER, tokenizer, settings, folder / "model" / "model.safetensors")
    assert progress.best == pytest.approx(done["decoder"].best, abs=0.01)


def test_the_record_has_the_range_of_the_prices(
    trained: tuple[Path, dict[str, TrainingProgress]], tmp_path: Path
) -> None:
    folder, _ = trained
    tokenizer = load_checkpoint(str(folder / "model"), str(folder / "tokenizer")).tokenizer
    schedule = replace(SCHEDULE, steps=1)
    train_decoder(DECODER, tokenizer, replace(job(tmp_path), schedule=schedule, price_limit=8.0))
    assert trained_price_limit(tmp_path) == 8
    assert trained_price_limit(folder / "blank") == 5


@pytest.mark.parametrize("kind", ["tokenizer", "decoder", "events"])
def test_the_loss_falls(trained: tuple[Path, dict[str, TrainingProgress]], kind: str) -> None:
    _, done = trained
    (_, _, first), *_, (_, _, last) = done[kind].losses
    assert last < first


@pytest.mark.parametrize(("symbol", "clock"), [("EURUSD", "UTC"), ("7203.T", "instrument")])
def test_the_record_has_the_model_s_clock(
    trained: tuple[Path, dict[str, TrainingProgress]], tmp_path: Path, symbol: str, clock: str
) -> None:
    _, done = trained
    write_record(
        tmp_path, "decoder", [stretch(60, symbol=symbol)], [stretch(60)], SCHEDULE, done["decoder"], {}
    )
    assert trained_clock(tmp_path) == clock


def test_the_export_loads_the_outputs(trained: tuple[Path, dict[str, TrainingProgress]]) -> None:
    folder, _ = trained
    checkpoint = load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))
    events = load_events(folder / "events" / "events.safetensors", DECODER.d_model)
    adapter = load_adapter(folder / "events" / "adapter", checkpoint.decoder)
    assert events.alignment == "next"
    assert adapter.rank == 8
    assert set(adapter.updates) == {"transformer.0.self_attn", "dep_layer.cross_attn"}


def test_the_base_is_unchanged_and_the_export_computes_the_trained_model(
    trained: tuple[Path, dict[str, TrainingProgress]],
) -> None:
    folder, _ = trained
    checkpoint = load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))
    adapter = load_adapter(folder / "events" / "adapter", checkpoint.decoder)
    exported = KronosDecoder(DECODER).eval()
    exported.load_state_dict(merged(checkpoint.decoder, adapter))
    before = {name: t.clone() for name, t in checkpoint.decoder.state_dict().items()}
    model = EventModel(checkpoint.decoder).eval()
    state = torch.load(folder / "events" / "state.pt", weights_only=True)["module"]
    for name, tensor in before.items():
        layer, _, leaf = name.rpartition(".")
        adapted = layer.endswith(("q_proj", "v_proj"))
        assert torch.equal(state[f"decoder.{layer}.base.{leaf}" if adapted else f"decoder.{name}"], tensor)
    model.load_state_dict(state)
    batch = Sampler([with_flags(stretch(60, seed=4))], 48, 2, 0).batch(0)
    with torch.no_grad():
        s1, s2 = checkpoint.tokenizer.encode(batch.values)
        assert batch.events is not None
        embedding = model.embedding(batch.events)
        trained_nll = token_nll(model.decoder, s1, s2, batch.stamp, embedding).candle
        exported_nll = token_nll(exported, s1, s2, batch.stamp, embedding).candle
    torch.testing.assert_close(trained_nll, exported_nll, rtol=1e-2, atol=1e-2)  # written in float16


def test_a_channel_that_is_zero_throughout_the_training_has_no_effect(
    trained: tuple[Path, dict[str, TrainingProgress]],
) -> None:
    folder, _ = trained
    weight = load_events(folder / "events" / "events.safetensors", DECODER.d_model).encoder.proj.weight
    assert weight.any(dim=0).nonzero().flatten().tolist() == [0, 10]


def test_event_steps_weigh_three_times(trained: tuple[Path, dict[str, TrainingProgress]]) -> None:
    folder, _ = trained
    checkpoint = load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))
    model = EventModel(checkpoint.decoder).eval()
    batch = Sampler([with_flags(stretch(60, seed=4))], 48, 2, 0).batch(0)
    with torch.no_grad():
        s1, s2 = checkpoint.tokenizer.encode(batch.values)
        assert batch.events is not None
        assert batch.event_steps is not None
        nll = token_nll(model.decoder, s1, s2, batch.stamp, model.embedding(batch.events)).candle
        weight = torch.where(batch.event_steps[:, 1:], 3.0, 1.0) * batch.future
        expected = (nll * weight).sum() / weight.sum()
        torch.testing.assert_close(model.nll(checkpoint.tokenizer, batch), expected)


def test_a_tokenizer_of_other_bits_is_refused(
    trained: tuple[Path, dict[str, TrainingProgress]], tmp_path: Path
) -> None:
    folder, _ = trained
    checkpoint = load_checkpoint(str(folder / "model"), str(folder / "tokenizer"))
    with pytest.raises(CheckpointError, match="s1_bits is 4 in the tokenizer and 5 in the model"):
        train_decoder(replace(DECODER, s1_bits=5), checkpoint.tokenizer, job(tmp_path))
