"""Loads Kronos weights in the published layout from a directory or a Hugging Face id, and saves them."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import nn

from export.errors import CheckpointError
from export.model.config import DecoderConfig, TokenizerConfig, check_pair
from export.model.decoder import KronosDecoder
from export.model.tokenizer import KronosTokenizer

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
RECORD_FILE = "training.json"
# Buffers that only some published files hold.
OPTIONAL_TENSORS = re.compile(r"(\.rotary\.inv_freq|^tokenizer\.bsq\.(basis|group_basis))$")


@dataclass(frozen=True)
class CheckpointSource:
    """Origin of a checkpoint: its directory or id, the resolved revision, and the local folder."""

    name: str
    revision: str | None
    folder: Path


@dataclass(frozen=True)
class Checkpoint:
    """A decoder and its tokenizer, in eval mode."""

    decoder: KronosDecoder
    tokenizer: KronosTokenizer
    decoder_source: CheckpointSource
    tokenizer_source: CheckpointSource


def load_checkpoint(
    model: str, tokenizer: str, revision: str | None = None, tokenizer_revision: str | None = None
) -> Checkpoint:
    """Load a decoder and a tokenizer in float32 and eval mode.

    Parameters
    ----------
    model, tokenizer
        A directory with `config.json` and `model.safetensors`, or a Hugging Face repo id.
    revision, tokenizer_revision
        Branch, tag or commit of a Hugging Face repo; the commit it resolves to is recorded.

    Raises
    ------
    CheckpointError
        A file, config field or tensor is missing, extra or of another shape, or the two do not fit
        each other.
    """
    decoder_source = resolve(model, revision)
    tokenizer_source = resolve(tokenizer, tokenizer_revision)
    decoder_config = DecoderConfig.read(decoder_source.folder / CONFIG_FILE)
    tokenizer_config = TokenizerConfig.read(tokenizer_source.folder / CONFIG_FILE)
    check_pair(decoder_config, tokenizer_config)
    decoder, kronos_tokenizer = KronosDecoder(decoder_config), KronosTokenizer(tokenizer_config)
    load_weights(decoder, decoder_source.folder / WEIGHTS_FILE)
    load_weights(kronos_tokenizer, tokenizer_source.folder / WEIGHTS_FILE)
    return Checkpoint(decoder.eval(), kronos_tokenizer.eval(), decoder_source, tokenizer_source)


def resolve(name: str, revision: str | None) -> CheckpointSource:
    """Find the folder of a checkpoint; a Hugging Face id is downloaded into the cache of the hub."""
    folder = Path(name)
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(f"revision {revision!r} was given for {name}, which is a local directory")
        return CheckpointSource(name, None, folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise CheckpointError(f"{name!r} is neither a directory nor a Hugging Face id of the form owner/name")
    try:
        snapshot = Path(
            snapshot_download(name, revision=revision, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE])
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise CheckpointError(
            f"there is no directory {name!r} here, and it could not be fetched from Hugging Face: {reason}"
        ) from e
    return CheckpointSource(name, snapshot.name, snapshot)


def trained_clock(folder: Path) -> str | None:
    """Return the clock of the time fields that a checkpoint of `python -m training` was trained with.

    Returns
    -------
    str or None
        As `model_clock` of a manifest; None where the folder has no `training.json` of such a training.

    Raises
    ------
    CheckpointError
        The file cannot be read.
    """
    record = _training_record(folder)
    # Older records lack the clock: all trainings used UTC then.
    return None if record is None else str(record.get("model_clock", "UTC"))


def training_span(folders: Iterable[Path]) -> tuple[str, str] | None:
    """Return the timestamps of the first and the last candle of the trainings recorded in some folders.

    Candles of the validation count, too: they decided which weights were kept.

    Returns
    -------
    tuple of str or None
        ISO 8601 to the second, UTC; None where no folder has a `training.json` with candles.

    Raises
    ------
    CheckpointError
        A record cannot be read.
    """
    records = [record for folder in folders if (record := _training_record(folder)) is not None]
    parts = [
        part
        for record in records
        for data in ("training_data", "validation_data")
        for part in record.get(data, [])
    ]
    if not parts:
        return None
    first, last = min(part["first"] for part in parts), max(part["last"] for part in parts)
    return _second(first), _second(last)


def training_timeframes(decoder: Path) -> dict[str, int] | None:
    """Return how many candles of each timeframe a decoder was trained on, the largest number first.

    Those of the tokenizer and the events do not count: the decoder decides how far a price moves in a candle.

    Returns
    -------
    dict or None
        By timeframe; None where the folder has no `training.json` with candles.

    Raises
    ------
    CheckpointError
        The record cannot be read.
    """
    record = _training_record(decoder)
    candles: Counter[str] = Counter()
    for part in (record or {}).get("training_data", []):
        if "timeframe" in part and "candles" in part:
            candles[part["timeframe"]] += part["candles"]
    return dict(candles.most_common()) or None


def _second(timestamp: str) -> str:
    return f"{datetime.fromisoformat(timestamp).isoformat(timespec='seconds')}Z"


def _training_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of a folder's `training.json`, or None where it is not of `python -m training`."""
    file = folder / RECORD_FILE
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise CheckpointError(f"cannot read the training record {file}: {e}") from e
    return record if isinstance(record, dict) and "trained" in record else None


def load_weights(module: nn.Module, file: Path) -> None:
    """Copy the tensors of a safetensors file into a module, checking every name and shape.

    Raises
    ------
    CheckpointError
        The file cannot be read, or tensors are missing, extra or of another shape; the message names them.
    """
    try:
        tensors = load_file(file)
    except Exception as e:
        raise CheckpointError(f"cannot read the weights {file}: {e}") from e
    expected = module.state_dict()
    problems = [
        f"missing {name} {tuple(t.shape)}"
        for name, t in expected.items()
        if name not in tensors and not OPTIONAL_TENSORS.search(name)
    ]
    for name, t in tensors.items():
        if name not in expected:
            if not OPTIONAL_TENSORS.search(name):
                problems.append(f"unexpected {name} {tuple(t.shape)}")
        elif t.shape != expected[name].shape:
            problems.append(f"{name} is {tuple(t.shape)}, expected {tuple(expected[name].shape)}")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(f"{file} does not fit its config.json: {shown}")
    module.load_state_dict({n: t.float() for n, t in tensors.items() if n in expected}, strict=False)


def randomise(module: nn.Module, seed: int) -> None:
    """Fill a module with random weights that depend on the seed alone.

    Matrices are Xavier normal, biases have a standard deviation of 0.02, embeddings of 1/√d, and norms are 1:
    for trainings, tests and benchmarks without a trained checkpoint.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_normal_(part.weight, generator=generator)
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.02, generator=generator)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=part.embedding_dim**-0.5, generator=generator)


def save_checkpoint(module: KronosDecoder | KronosTokenizer, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` in the published layout."""
    folder.mkdir(parents=True, exist_ok=True)
    module.config.write(folder / CONFIG_FILE)
    save_file({name: t.contiguous() for name, t in module.state_dict().items()}, folder / WEIGHTS_FILE)
