"""Exports a bundle: graphs, verification, manifest. The directory appears only after all checks passed."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from export.accuracy.bounds import checked
from export.accuracy.generated import generated_candles
from export.accuracy.measure import Effort, measure
from export.accuracy.windows import CandleSeries
from export.cache_scales import measure_cache_scales
from export.caches import Scales
from export.decoder_export import DecoderExport
from export.errors import ExportError
from export.graph import cache_layouts
from export.int8 import write_probe
from export.model.adapter import Adapter
from export.model.checkpoint import Checkpoint, trained_clock, training_span, training_timeframes
from export.model.event_encoder import TrainedEvents
from export.onnx_export import (
    OPSET,
    export_decoder_of_tokens,
    export_encoder,
    export_event_encoder,
    export_time_embedding,
)
from export.swap import put_in_place, restore
from export.verify_decoder import verify_decoder
from export.verify_tokenizer import verify_tokenizer
from inference_server.engine import bundle as layout
from market.event_channels import EVENT_CHANNELS, EVENT_SCHEMA

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class AccuracyCheck:
    """The candles on which a bundle is compared with float32, and whether it may be out of bounds.

    `data` says in the manifest what the candles are. `effort` follows from the size of the model
    unless given.
    """

    candles: Sequence[CandleSeries]
    data: str
    accept_loss: bool = False
    effort: Effort | None = None


@dataclass(frozen=True)
class Plan:
    """What to export; `events` and `adapter` are optional.

    `model_clock` goes into the manifest; None takes it from the checkpoint's record, if there is one.
    `events_folder` may have the record of the events' training. `accuracy` is for precisions other than fp32;
    without it nothing is measured.
    """

    checkpoint: Checkpoint
    max_context: int
    precision: str = "fp32"
    events: TrainedEvents | None = None
    adapter: Adapter | None = None
    events_name: str | None = None
    adapter_name: str | None = None
    model_clock: str | None = None
    events_folder: Path | None = None
    accuracy: AccuracyCheck | None = None


def export_bundle(plan: Plan, out: Path, progress: Progress = lambda step, seconds: None) -> layout.Manifest:
    """Write a verified bundle to `out`, replacing a bundle that is there.

    The bundle that is there stays until the new one is verified; if the process is killed, one of the two is
    there (`export.swap`).

    Parameters
    ----------
    plan
        What to export.
    out
        The bundle's directory.
    progress
        Called after each step with its name and the seconds it took.

    Raises
    ------
    ExportError
        `out` holds something that is no bundle, or the adapter comes without events.
    ParityError
        The graphs differ from torch by more than the tolerance; `out` is as it was.
    AccuracyError
        The precision costs more accuracy than is allowed; `out` is as it was.
    """
    restore(out)
    if (
        out.exists()
        and not (out / layout.MANIFEST_FILE).is_file()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise ExportError(
            f"{out} exists and is no bundle; give --out a new folder or an old bundle to replace"
        )
    if plan.adapter is not None and plan.events is None:
        raise ExportError("an adapter acts on rows with events only: give --events beside --adapter")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        manifest = _write(plan, folder, progress, out.name)
        if plan.accuracy is not None:
            reference = Path(temporary) / "float32"
            manifest = _with_accuracy(plan, plan.accuracy, manifest, folder, reference, progress)
        put_in_place(folder, out)
    return manifest


def _write(plan: Plan, folder: Path, progress: Progress, name: str) -> layout.Manifest:
    checkpoint = plan.checkpoint
    with _timed(progress, "tokenizer"):
        export_encoder(checkpoint.tokenizer, folder / layout.ENCODE_FILE)
        export_decoder_of_tokens(checkpoint.tokenizer, folder / layout.DECODE_FILE)
    scales = None
    if plan.precision == "int8":
        with _timed(progress, "scales of the caches"):
            scales = _cache_scales(plan)
    with _timed(progress, "decoder"):
        graphs = DecoderExport(checkpoint.decoder, plan.max_context, plan.precision, scales)
        if layout.BRANCHES_FILE in layout.decoder_files(plan.precision):
            graphs.write_for_cpu(plan.adapter, folder)
            if plan.precision == "int8":
                write_probe(folder / layout.INT8_PROBE_FILE)
        else:
            graphs.write_for_gpu(plan.adapter, folder)
        export_time_embedding(checkpoint.decoder.time_emb, folder / layout.TIME_FILE)
    if plan.events is not None:
        with _timed(progress, "EventEncoder"):
            export_event_encoder(plan.events.encoder, folder / layout.EVENTS_FILE)
    with _timed(progress, "verification against torch"):
        encoder = None if plan.events is None else plan.events.encoder
        parity = verify_tokenizer(folder, checkpoint.tokenizer, plan.max_context)
        parity |= verify_decoder(
            folder, checkpoint.decoder, plan.adapter, encoder, plan.precision, plan.max_context
        )
    with _timed(progress, "manifest"):
        manifest = _manifest(plan, folder, parity, name)
        _write_manifest(manifest, folder)
    return manifest


def _cache_scales(plan: Plan) -> list[Scales]:
    candles = generated_candles() if plan.accuracy is None else plan.accuracy.candles
    encoder = None if plan.events is None else plan.events.encoder
    return measure_cache_scales(plan.checkpoint, plan.max_context, candles, encoder, plan.adapter)


def _write_manifest(manifest: layout.Manifest, folder: Path) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / layout.MANIFEST_FILE).write_bytes(encoded + b"\n")


def _with_accuracy(
    plan: Plan,
    check: AccuracyCheck,
    manifest: layout.Manifest,
    folder: Path,
    reference: Path,
    progress: Progress,
) -> layout.Manifest:
    """Compare a bundle with float32, and write the figures into its manifest."""
    with _timed(progress, "float32 for comparison"):
        _write_reference(plan, folder, reference)
    with _timed(progress, "accuracy"):
        figures = measure(reference, folder, check.candles, check.data, check.effort)
    shutil.rmtree(reference)
    accuracy = checked(figures, plan.precision, accept_loss=check.accept_loss)
    measured = msgspec.structs.replace(manifest, accuracy=accuracy)
    _write_manifest(measured, folder)
    return measured


def _write_reference(plan: Plan, bundle: Path, out: Path) -> None:
    """Write the float32 bundle of a bundle's checkpoint, without events; both share tokenizer and times."""
    out.mkdir()
    for name in (layout.ENCODE_FILE, layout.DECODE_FILE, layout.TIME_FILE):
        shutil.copy(bundle / name, out)
    graphs = DecoderExport(plan.checkpoint.decoder, plan.max_context, "fp32")
    graphs.write_for_cpu(None, out)
    base = replace(plan, precision="fp32", events=None, adapter=None)
    _write_manifest(_manifest(base, out, {}, "float32"), out)


@contextmanager
def _timed(progress: Progress, step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    progress(step, time.perf_counter() - start)


def _manifest(plan: Plan, folder: Path, parity: dict[str, float], name: str) -> layout.Manifest:
    checkpoint, config = plan.checkpoint, plan.checkpoint.decoder.config
    files = {f.name: layout.file_entry(f) for f in sorted(folder.iterdir())}
    sources = [checkpoint.decoder_source, checkpoint.tokenizer_source]
    model, tokenizer = (layout.Source(_public_name(s.name), s.revision) for s in sources)
    return layout.Manifest(
        format=layout.BUNDLE_FORMAT,
        name=name,
        version=layout.content_version(files),
        source=layout.Sources(model, tokenizer, plan.events_name, plan.adapter_name),
        s1_bits=config.s1_bits,
        s2_bits=config.s2_bits,
        d_model=config.d_model,
        n_layers=config.n_layers,
        parameters=sum(p.numel() for p in checkpoint.decoder.parameters()),
        max_context=plan.max_context,
        precision=plan.precision,
        opset=OPSET,
        caches=cache_layouts(checkpoint.decoder, plan.precision),
        files=files,
        parity=parity,
        event_channels=list(EVENT_CHANNELS),
        event_schema=EVENT_SCHEMA,
        event_alignment="same" if plan.events is None else plan.events.alignment,
        has_events=plan.events is not None,
        has_adapter=plan.adapter is not None,
        model_clock=plan.model_clock or trained_clock(checkpoint.decoder_source.folder),
        training_span=_training_span(plan),
        training_timeframes=training_timeframes(checkpoint.decoder_source.folder),
    )


def _training_span(plan: Plan) -> layout.TrainingSpan | None:
    folders = [source.folder for source in (plan.checkpoint.decoder_source, plan.checkpoint.tokenizer_source)]
    span = training_span(folders if plan.events_folder is None else [*folders, plan.events_folder])
    return None if span is None else layout.TrainingSpan(*span)


def _public_name(name: str) -> str:
    """Return the name of a local folder without its path, which means nothing on another machine."""
    return Path(name).resolve().name if Path(name).is_dir() else name
