"""Whole bundles: verified, complete, and nothing left behind when they are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export.bundle import Plan, export_bundle
from export.decoder_export import DecoderExport
from export.errors import ExportError, ParityError
from export.model.adapter import load_adapter
from export.model.checkpoint import Checkpoint, randomise
from export.model.config import DecoderConfig
from export.model.decoder import KronosDecoder
from export.model.sizes import SIZES
from export.onnx_export import export_time_embedding
from export.parity import largest, logit_figures
from export.verify_decoder import TOLERANCE, verify_decoder
from inference_server.engine.bundle import load_manifest
from inference_server.engine.engine import Engine
from tests.helpers.adapters import write_adapter
from tests.helpers.jobs import hourly_job

JOB = hourly_job(120, 20, sample_count=3, seed=4)
JOB_WITH_EVENTS = hourly_job(120, 20, sample_count=3, seed=4, events=True)


def test_the_manifest_tells_what_is_in_the_bundle(tiny_bundle: Path, tiny_checkpoint: Checkpoint) -> None:
    manifest = load_manifest(tiny_bundle)
    assert manifest.has_events
    assert not manifest.has_adapter
    assert manifest.event_alignment == "next"
    assert manifest.source.model.name == tiny_checkpoint.decoder_source.folder.name
    assert set(manifest.files) == {f.name for f in tiny_bundle.iterdir()} - {"manifest.json"}
    logits = logit_figures(manifest.parity)
    # s1 and s2; eight comparisons; with and without events
    assert len(logits) == 32
    assert 0 < largest(logits)[1] < TOLERANCE["fp32"]


def test_no_file_tells_where_it_was_exported(tiny_bundle: Path) -> None:
    """Nor would the bundle's version, a hash of its files, be the same anywhere else."""
    here = str(Path(__file__).parents[2]).encode()
    for file in tiny_bundle.iterdir():
        content = file.read_bytes()
        assert here not in content
        assert b"onnx_export.py" not in content


@pytest.mark.parametrize("bundle", ["tiny_bundle", "half_bundle", "adapter_bundle"])
def test_no_graph_has_an_optional_input(bundle: str, request: pytest.FixtureRequest) -> None:
    """A default has fewer rows than what is given, and shapes inferred for one are wrong for the other."""
    for file in request.getfixturevalue(bundle).glob("*.onnx"):
        assert ort.InferenceSession(file).get_overridable_initializers() == []


@pytest.mark.parametrize("bundle", ["tiny_bundle", "half_bundle", "adapter_bundle"])
def test_shapes_noted_in_a_graph_are_those_of_its_inputs(bundle: str, request: pytest.FixtureRequest) -> None:
    """ONNX Runtime plans memory by them: a node after an input names no axis that the input lacks."""
    for file in request.getfixturevalue(bundle).glob("*.onnx"):
        inferred = onnx.shape_inference.infer_shapes(onnx.load(file), strict_mode=True, data_prop=True)
        assert len(inferred.graph.node) > 0


def test_without_events_an_event_capable_bundle_is_the_base_bundle_to_the_bit(
    tiny_bundle: Path, tiny_base_bundle: Path
) -> None:
    base, capable = (Engine.load(b, threads=1).forecast([JOB])[0] for b in (tiny_base_bundle, tiny_bundle))
    np.testing.assert_array_equal(base, capable)


def test_an_adapter_acts_on_rows_with_events_and_on_no_other(
    adapter_bundle: Path, tiny_bundle: Path, tiny_base_bundle: Path
) -> None:
    """The export has compared the adapted rows with torch's merged weights already."""
    assert load_manifest(adapter_bundle).has_adapter
    adapted, plain, base = (
        Engine.load(b, threads=1) for b in (adapter_bundle, tiny_bundle, tiny_base_bundle)
    )
    untouched = base.forecast([JOB])[0]
    np.testing.assert_array_equal(adapted.forecast([JOB])[0], untouched)
    with_events = adapted.forecast([JOB_WITH_EVENTS])[0]
    assert not np.array_equal(with_events, plain.forecast([JOB_WITH_EVENTS])[0])
    # Both kinds of row in one batch, in both orders.
    for order in ((0, 1), (1, 0)):
        jobs = [JOB, JOB_WITH_EVENTS]
        results = adapted.forecast([jobs[i] for i in order])
        np.testing.assert_array_equal(results[order.index(0)], untouched)
        np.testing.assert_array_equal(results[order.index(1)], with_events)


def test_heads_that_the_kernel_can_not_take_are_padded_exactly(tmp_path: Path) -> None:
    """Kronos-base has heads of 52 columns, in one layer here."""
    config = replace(SIZES["tiny"].decoder, n_layers=1, d_model=416, n_heads=8, ff_dim=64)
    assert config.head_dim == SIZES["base"].decoder.head_dim == 52
    decoder = KronosDecoder(config)
    randomise(decoder, 3)
    export = DecoderExport(decoder.eval(), 64, "fp32")
    export.write_for_cpu(None, tmp_path)
    export_time_embedding(decoder.time_emb, tmp_path / "time_embedding.onnx")
    figures = verify_decoder(tmp_path, decoder, None, None, "fp32", 64)
    assert largest(figures)[1] < TOLERANCE["fp32"]


def _other_decoder(config: DecoderConfig) -> KronosDecoder:
    decoder = KronosDecoder(config)
    randomise(decoder, 77)
    return decoder.eval()


def test_a_graph_that_differs_from_torch_is_refused(
    tiny_base_bundle: Path, tiny_checkpoint: Checkpoint
) -> None:
    other = _other_decoder(tiny_checkpoint.decoder.config)
    with pytest.raises(ParityError, match="no bundle was written"):
        verify_decoder(tiny_base_bundle, other, None, None, "fp32", 512)


def test_a_refused_bundle_leaves_what_was_there(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(*args: object) -> dict[str, float]:
        raise ParityError("differs")

    monkeypatch.setattr("export.bundle.DecoderExport.write_for_cpu", lambda *args: None)
    monkeypatch.setattr("export.bundle.export_encoder", lambda *args: args[-1].write_bytes(b""))
    monkeypatch.setattr("export.bundle.export_decoder_of_tokens", lambda *args: args[-1].write_bytes(b""))
    monkeypatch.setattr("export.bundle.verify_tokenizer", differ)
    old = tmp_path / "bundle"
    old.mkdir()
    (old / "manifest.json").write_text("old")
    with pytest.raises(ParityError):
        export_bundle(Plan(tiny_checkpoint, 64), old)
    assert [f.name for f in tmp_path.iterdir()] == ["bundle"]
    assert (old / "manifest.json").read_text() == "old"


def test_a_folder_that_is_no_bundle_is_not_replaced(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="exists and is no bundle"):
        export_bundle(Plan(tiny_checkpoint, 64), tmp_path)


def test_an_adapter_needs_events(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    decoder = tiny_checkpoint.decoder
    adapter = load_adapter(write_adapter(tmp_path / "a", decoder, ["transformer.0.self_attn"]), decoder)
    with pytest.raises(ExportError, match="give --events beside --adapter"):
        export_bundle(Plan(tiny_checkpoint, 64, adapter=adapter), tmp_path / "out")
