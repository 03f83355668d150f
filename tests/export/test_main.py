import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main
from export.accuracy.bounds import Bound
from export.accuracy.measure import Effort
from export.accuracy.windows import Shape
from export.model.checkpoint import Checkpoint
from export.parity import largest, logit_figures
from export.verify_decoder import TOLERANCE
from inference_server.engine.bundle import load_manifest
from inference_server.engine.engine import Engine
from tests.helpers.bundles import decoder_graphs_in, tokenizer_graphs_of
from tests.helpers.jobs import hourly_job

FEW = Effort(Shape(40, 3), paths=8, windows=30)
# No bundle keeps it.
NARROW = Bound("CRPS", lambda accuracy: accuracy.crps, -100.0)


@pytest.fixture
def traced_once(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace each graph of the tiny checkpoint once, and measure on few windows."""
    monkeypatch.setattr("export.accuracy.measure.effort_for", lambda *_: FEW)
    graphs = shutil.copytree(tiny_bundle.with_name("tiny-graphs"), tmp_path / "graphs")
    with tokenizer_graphs_of(tiny_bundle), decoder_graphs_in(graphs):
        yield


@pytest.mark.usefixtures("traced_once")
def test_the_command_writes_a_bundle_and_half_precision_states_its_effect_once_it_is_accepted(
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = [str(s.folder) for s in (tiny_checkpoint.decoder_source, tiny_checkpoint.tokenizer_source)]
    out = tmp_path / "my-model"
    arguments = ["--model", folders[0], "--tokenizer", folders[1], "--out", str(out)]
    arguments += ["--max-context", "128", "--precision", "fp16", "--model-clock", "Asia/Shanghai"]
    monkeypatch.setattr("export.accuracy.bounds.BOUNDS", (NARROW,))
    assert main(arguments) == 1
    refusal = " ".join(capsys.readouterr().err.split())
    assert "CRPS" in refusal
    assert "or with --accept-accuracy-loss" in refusal
    assert [file.name for file in tmp_path.iterdir()] == ["graphs"]
    assert main([*arguments, "--accept-accuracy-loss"]) == 0
    manifest = load_manifest(out)
    assert manifest.model_clock == "Asia/Shanghai"
    assert (manifest.name, manifest.max_context, manifest.has_events) == ("my-model", 128, False)
    said = capsys.readouterr().err
    assert manifest.version in said
    assert "verification against torch" in said

    assert 1e-5 < largest(logit_figures(manifest.parity))[1] < TOLERANCE["fp16"]
    assert {"s1_logits_half", "s2_logits_half", "largest_activation"} <= set(manifest.parity)
    (paths,) = Engine.load(out, threads=1).forecast([hourly_job(60, 20, sample_count=3)])
    assert np.isfinite(paths).all()

    accuracy = manifest.accuracy
    assert accuracy is not None
    assert (accuracy.data, accuracy.windows) == ("generated", {"crypto": 10, "equity": 10, "fx": 10})
    assert 0 < abs(accuracy.nll.percent) < 0.5
    assert accuracy.beyond == ["CRPS"]
    assert "accuracy against float32 on generated" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no folder", "--tokenizer", "x"], "neither a directory nor a Hugging Face id"),
        (["--model", "{model}", "--tokenizer", "{model}"], "has no field 'd_in'"),
        (["--model", "{model}", "--tokenizer", "{tok}", "--max-context", "8"], "at least 64 is expected"),
        (["--model", "{model}", "--tokenizer", "{tok}", "--events", "none"], "cannot read the events file"),
        (["--model", "{model}", "--tokenizer", "{tok}", "--model-clock", "CST6"], "--model-clock is 'CST6'"),
        (["--model", "x", "--tokenizer", "x", "--calibration-data", "a.csv"], "for a --precision other than"),
        (
            ["--model", "x", "--tokenizer", "x", "--precision", "fp16", "--calibration-data", "none.csv"],
            "candles in none.csv cannot be read",
        ),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(
    arguments: list[str],
    message: str,
    tiny_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = {
        "{model}": str(tiny_checkpoint.decoder_source.folder),
        "{tok}": str(tiny_checkpoint.tokenizer_source.folder),
    }
    given = [folders.get(a, a) for a in arguments]
    assert main([*given, "--out", str(tmp_path / "out")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
