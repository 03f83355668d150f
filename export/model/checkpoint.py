"""Load published Kronos weights into our torch modules, from a directory or a Hugging Face id."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

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
# Buffers that some published files hold and others leave out.
OPTIONAL_TENSORS = re.compile(r"(\.rotary\.inv_freq|^tokenizer\.bsq\.(basis|group_basis))$")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint came from: the name given, the resolved revision, and the local folder."""

    name: str
    revision: str | None
    folder: Path


@dataclass(frozen=True)
class Checkpoint:
    """A decoder and the tokenizer that fits it, in eval mode."""

    decoder: KronosDecoder
    tokenizer: KronosTokenizer
    decoder_source: Source
    tokenizer_source: Source


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


def resolve(name: str, revision: str | None) -> Source:
    """Find a checkpoint's folder; a Hugging Face id is downloaded into the hub's cache."""
    folder = Path(name)
    if folder.is_dir():
        if revision is not None:
            raise CheckpointError(f"revision {revision!r} was given for {name}, which is a local directory")
        return Source(name, None, folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise CheckpointError(f"{name!r} is neither a directory nor a Hugging Face id of the form owner/name")
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise CheckpointError(
            f"there is no directory {name!r} here, and it could not be fetched from Hugging Face: {reason}"
        ) from e
    return Source(name, found.name, found)


def trained_clock(folder: Path) -> str | None:
    """Return the clock that a checkpoint of `python -m training` read its time fields from.

    Returns
    -------
    str or None
        A manifest's `model_clock`; None where the folder has no record of such a training.

    Raises
    ------
    CheckpointError
        The record can't be read.
    """
    file = folder / RECORD_FILE
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise CheckpointError(f"cannot read the training's record {file}: {e}") from e
    if not isinstance(record, dict) or "trained" not in record:
        return None
    clock = record.get("model_clock", "UTC")  # records without it are of trainings that knew no other clock
    return str(clock)


def load_weights(module: nn.Module, file: Path) -> None:
    """Copy the tensors of a safetensors file into a module, checking every name and shape.

    Raises
    ------
    CheckpointError
        The file can't be read, or tensors are missing, extra or of another shape; all are named.
    """
    try:
        tensors = load_file(file)
    except Exception as e:
        raise CheckpointError(f"cannot read the weights {file}: {e}") from e
    wanted = module.state_dict()
    problems = [
        f"missing {name} {tuple(t.shape)}"
        for name, t in wanted.items()
        if name not in tensors and not OPTIONAL_TENSORS.search(name)
    ]
    for name, t in tensors.items():
        if name not in wanted:
            if not OPTIONAL_TENSORS.search(name):
                problems.append(f"unexpected {name} {tuple(t.shape)}")
        elif t.shape != wanted[name].shape:
            problems.append(f"{name} is {tuple(t.shape)}, expected {tuple(wanted[name].shape)}")
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise CheckpointError(f"{file} does not fit its config.json: {shown}")
    module.load_state_dict({n: t.float() for n, t in tensors.items() if n in wanted}, strict=False)


def randomise(module: nn.Module, seed: int) -> None:
    """Fill a module with random weights that give a lively model, the same for the same seed.

    Xavier matrices, biases of spread 0.02, embeddings of spread 1/√d, norms of one: for tests,
    benchmarks and demonstrations where no trained checkpoint can be had.
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
