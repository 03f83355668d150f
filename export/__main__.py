"""`python -m export`: turn a checkpoint into a bundle."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from export.accuracy.bounds import report
from export.accuracy.candle_file import read_candles
from export.accuracy.generated import generated_candles
from export.bundle import AccuracyCheck, Plan, export_bundle
from export.decoder_export import DTYPES
from export.errors import ExportError
from export.model.adapter import load_adapter
from export.model.checkpoint import load_checkpoint
from export.model.event_encoder import load_events
from export.parity import largest, logit_figures
from inference_server.engine.bundle import INSTRUMENTS_CLOCK
from market.time_features import known_time_zones

DEFAULT_CONTEXT = 512
# Published models that were trained on a longer context than the default.
LONG_CONTEXT = {"NeoQuasar/Kronos-mini": 2048}


def parser(prog: str = "python -m export") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Export a Kronos checkpoint as an ONNX bundle.")
    checkpoint = "a directory with config.json and model.safetensors, or a Hugging Face id"
    p.add_argument("--model", required=True, help=f"the decoder: {checkpoint}")
    p.add_argument("--revision", help="commit, tag or branch of the model on Hugging Face")
    p.add_argument("--tokenizer", required=True, help=f"the tokenizer: {checkpoint}")
    p.add_argument("--tokenizer-revision", help="commit, tag or branch of the tokenizer on Hugging Face")
    p.add_argument("--events", type=Path, help="safetensors file of a trained EventEncoder")
    p.add_argument("--adapter", type=Path, help="directory of a LoRA adapter in PEFT's layout")
    p.add_argument(
        "--out", type=Path, required=True, help="the bundle's directory; an old bundle there is replaced"
    )
    p.add_argument(
        "--precision",
        choices=sorted(DTYPES),
        default="fp32",
        help="fp16 for a GPU; fp32 for the CPU, or int8, faster and less exact",
    )
    p.add_argument(
        "--max-context", type=int, help="tokens in view; 512 unless given, 2048 for NeoQuasar/Kronos-mini"
    )
    p.add_argument(
        "--model-clock",
        metavar="ZONE",
        help="the clock of the time fields in the checkpoint's training: a time zone such as UTC or "
        f"Asia/Shanghai, or {INSTRUMENTS_CLOCK} for each symbol's own; unless given as training.json says",
    )
    p.add_argument(
        "--calibration-data",
        type=Path,
        metavar="FILE",
        help="candles (.csv or .parquet) on which a precision other than fp32 is compared with it, and the "
        "scales of 8-bit caches are measured; generated ones unless given",
    )
    p.add_argument(
        "--accept-accuracy-loss",
        action="store_true",
        help="write the bundle although it loses more accuracy than is allowed",
    )
    return p


def _accuracy_check(args: argparse.Namespace) -> AccuracyCheck | None:
    """What a precision other than fp32 is measured on."""
    file: Path | None = args.calibration_data
    if args.precision == "fp32":
        if file is not None or args.accept_accuracy_loss:
            raise ExportError(
                "--calibration-data and --accept-accuracy-loss are for a --precision other than fp32: they "
                "measure what it costs against fp32"
            )
        return None
    candles = generated_candles() if file is None else read_candles(file)
    return AccuracyCheck(candles, "generated" if file is None else file.name, args.accept_accuracy_loss)


def main(arguments: list[str] | None = None, prog: str = "python -m export") -> int:
    """Export; 0 when a verified bundle was written, 1 with one line of reason when not."""
    args = parser(prog).parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    started = time.perf_counter()
    try:
        max_context = args.max_context or LONG_CONTEXT.get(args.model, DEFAULT_CONTEXT)
        if max_context < 64:
            raise ExportError(f"--max-context is {max_context}; at least 64 is expected")
        if args.model_clock not in {None, INSTRUMENTS_CLOCK, *known_time_zones()}:
            raise ExportError(
                f"--model-clock is {args.model_clock!r}; a time zone such as UTC or Asia/Shanghai, or "
                f"{INSTRUMENTS_CLOCK}, is expected"
            )
        accuracy = _accuracy_check(args)
        checkpoint = load_checkpoint(args.model, args.tokenizer, args.revision, args.tokenizer_revision)
        width = checkpoint.decoder.config.d_model
        plan = Plan(
            checkpoint=checkpoint,
            max_context=max_context,
            precision=args.precision,
            events=load_events(args.events, width) if args.events else None,
            adapter=load_adapter(args.adapter, checkpoint.decoder) if args.adapter else None,
            events_name=args.events.name if args.events else None,
            adapter_name=args.adapter.name if args.adapter else None,
            model_clock=args.model_clock,
            events_folder=args.events.parent if args.events else None,
            accuracy=accuracy,
        )
        with console.status("exporting …"):
            manifest = export_bundle(
                plan, args.out, lambda step, seconds: console.print(f"{step:28} {seconds:6.1f} s")
            )
    except ExportError as e:
        console.print(f"error: {e}", style="red", markup=False)
        return 1
    for source in (checkpoint.decoder_source, checkpoint.tokenizer_source):
        if source.revision:
            console.print(f"{source.name} is pinned by revision {source.revision}")
    _, worst = largest(logit_figures(manifest.parity))
    console.print(
        f"{args.out}: {manifest.name} version {manifest.version}, {manifest.precision}, "
        f"{manifest.parameters / 1e6:.1f} M parameters, context {manifest.max_context}, "
        f"{'with' if manifest.has_events else 'without'} events, largest relative logit difference "
        f"{worst:.1e}, {time.perf_counter() - started:.0f} s"
    )
    for line in report(manifest.accuracy) if manifest.accuracy else []:
        console.print(line, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
