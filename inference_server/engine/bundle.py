"""Reads the manifest of a bundle, and checks that its files are complete and unaltered."""

import hashlib
from pathlib import Path

import msgspec

from market.event_channels import EVENT_CHANNELS, EVENT_SCHEMA, Alignment

BUNDLE_FORMAT = 4
MANIFEST_FILE = "manifest.json"
ENCODE_FILE, DECODE_FILE = "tokenizer_encode.onnx", "tokenizer_decode.onnx"
TIME_FILE, EVENTS_FILE = "time_embedding.onnx", "event_encoder.onnx"
DECODER_FILE = "decoder.onnx"
BRANCHES_FILE, BRANCHES_DATA_FILE = "branches.onnx", "branches.data"
INT8_PROBE_FILE = "int8_probe.onnx"

INSTRUMENTS_CLOCK = "instrument"
"""A model's clock that is each instrument's own, its `model_time_zone`."""


class BundleError(Exception):
    """A bundle that cannot be served; the message says what is wrong and what to do."""


class FileEntry(msgspec.Struct, frozen=True):
    """Size and hash of one file of the bundle."""

    bytes: int
    sha256: str


EIGHT_BITS = "int8"
"""The type of a cache whose numbers are steps of scales that the graph has."""


class CacheLayout(msgspec.Struct, frozen=True, omit_defaults=True):
    """One layer's key or value cache: (rows, heads, tokens, head_dim).

    `dtype` is `EIGHT_BITS`, or None for the type of activations.
    """

    heads: int
    head_dim: int
    dtype: str | None = None


class Source(msgspec.Struct, frozen=True):
    """Where weights came from: a Hugging Face id and commit, or the name of a local folder."""

    name: str
    revision: str | None


class Sources(msgspec.Struct, frozen=True):
    """The parts that a bundle was exported from."""

    model: Source
    tokenizer: Source
    events: str | None
    adapter: str | None


class TrainingSpan(msgspec.Struct, frozen=True):
    """Timestamps of the first and the last candle of a training, ISO 8601 in UTC."""

    first: str
    last: str


class Change(msgspec.Struct, frozen=True):
    """By how many percent a figure differs from float32's, and the bounds of its 95 % interval."""

    percent: float
    low: float
    high: float


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """What the bundle's precision costs against float32, measured at export (`export.accuracy`).

    Attributes
    ----------
    data
        The file of candles that it was measured on, or "generated".
    windows, blocks
        Windows by asset class, and the blocks of windows that the intervals resample.
    lookback, pred_len, paths
        Candles of history and of future of each window, and its sample paths.
    effective_paths
        How many of them are left where the bundle's probabilities weigh them; the mean over windows.
    nll_float32
        Nats per token in float32, "s1" and "s2".
    nll, nll_s1, nll_s2
        Change of the negative log-likelihood of real tokens: of s1 and s2 together, and of each.
    crps, width
        Change of the CRPS of close, and of the width from p10 to p90.
    same_s1, same_s2
        Share of tokens for which both have the same most probable one, after the same tokens.
    beyond
        Figures out of bounds that the export was told to accept.
    """

    data: str
    windows: dict[str, int]
    blocks: int
    lookback: int
    pred_len: int
    paths: int
    effective_paths: float
    nll_float32: dict[str, float]
    nll: Change
    nll_s1: Change
    nll_s2: Change
    crps: Change
    width: Change
    same_s1: float
    same_s2: float
    beyond: list[str] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `manifest.json`."""

    format: int
    name: str
    version: str
    source: Sources
    s1_bits: int
    s2_bits: int
    d_model: int
    n_layers: int
    parameters: int
    max_context: int
    precision: str
    opset: int
    caches: list[CacheLayout]
    files: dict[str, FileEntry]
    parity: dict[str, float]
    event_channels: list[str]
    event_schema: int
    event_alignment: Alignment
    has_events: bool
    has_adapter: bool
    model_clock: str | None = None
    """IANA zone of the time fields in training, or `INSTRUMENTS_CLOCK`; None where it is unknown."""
    training_span: TrainingSpan | None = None
    """The candles that the weights were trained or validated on; None where it is unknown."""
    training_timeframes: dict[str, int] | None = None
    """Candles that the decoder was trained on, by timeframe; None where it is unknown."""
    accuracy: Accuracy | None = None
    """What the precision costs; None in float32, and where it was not measured."""


def decoder_files(precision: str) -> set[str]:
    """The decoder's files in a bundle of a precision.

    A bundle for the CPU has two graphs, and `branches.data` with the weights of both. `decoder.onnx` draws
    for rows with a cache each, and is the base model's whether there is an adapter or not, so that a request
    without events costs what it costs in a base-only bundle. The graphs that take in a history, draw for many
    paths behind one history, or have the adapter are branches of `branches.onnx`.

    Half precision is for a GPU, which has `decoder.onnx` alone: its attention kernel does not hand out the
    scores that joining prefix and suffix takes, and it captures its steps as CUDA graphs, which exclude
    branches and take memory each. There the adapter is in `decoder.onnx`, times a gate.

    An 8-bit bundle has a small graph too that shows whether a processor's products of integers are exact.
    """
    if precision == "fp16":
        return {DECODER_FILE}
    return {DECODER_FILE, BRANCHES_FILE, BRANCHES_DATA_FILE} | (
        {INT8_PROBE_FILE} if precision == "int8" else set()
    )


def content_version(files: dict[str, FileEntry]) -> str:
    """The first 12 hex digits of a hash over the files' hashes: the bundle's version."""
    listing = "".join(f"{name} {files[name].sha256}\n" for name in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()[:12]


def file_entry(file: Path) -> FileEntry:
    """Size and sha256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return FileEntry(file.stat().st_size, digest.hexdigest())


def load_manifest(folder: Path, *, verify: bool = True) -> Manifest:
    """Read a bundle's manifest, check that this server can run it and that its files are unaltered.

    Parameters
    ----------
    folder
        The bundle's directory.
    verify
        Hash every file; without it only the manifest itself and the files' sizes are checked.

    Raises
    ------
    BundleError
        There is no manifest, its format or event schema is not this server's, or a file is missing
        or altered.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_FILE).read_bytes(), type=Manifest)
    except OSError as e:
        raise BundleError(
            f"no bundle in {folder}: {MANIFEST_FILE} cannot be read ({e.strerror}); "
            "make one with python -m export, and name its folder in KRONOS_BUNDLE"
        ) from e
    except msgspec.MsgspecError as e:
        raise BundleError(
            f"{folder / MANIFEST_FILE} is no manifest of this server's: {e}; export again"
        ) from e
    _check_understood(manifest, folder)
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise BundleError(f"the bundle {folder} lacks {name}; copy it whole or export again")
        if file.stat().st_size != expected.bytes or (verify and file_entry(file) != expected):
            raise BundleError(
                f"{name} in the bundle {folder} is not the file that was exported; copy it again"
            )
    return manifest


def _export_command(manifest: Manifest, folder: Path) -> str:
    """Return the command that exports a bundle anew, as far as its manifest tells."""
    source = manifest.source
    parts = [f"python -m export --model {source.model.name} --tokenizer {source.tokenizer.name}"]
    for option, name in (
        ("--revision", source.model.revision),
        ("--tokenizer-revision", source.tokenizer.revision),
        ("--events", source.events),
        ("--adapter", source.adapter),
    ):
        parts += [f"{option} {name}"] if name else []
    return " ".join([*parts, f"--precision {manifest.precision} --out {folder}"])


def _check_understood(manifest: Manifest, folder: Path) -> None:
    if manifest.format != BUNDLE_FORMAT:
        raise BundleError(
            f"the bundle {folder} has format {manifest.format}, this server reads format {BUNDLE_FORMAT}: "
            f"export it again: {_export_command(manifest, folder)}"
        )
    channels = list(EVENT_CHANNELS)
    if manifest.has_events and (manifest.event_schema, manifest.event_channels) != (EVENT_SCHEMA, channels):
        raise BundleError(
            f"the bundle {folder} was trained on event schema {manifest.event_schema}, this server builds "
            f"schema {EVENT_SCHEMA}"
        )
    needed = {ENCODE_FILE, DECODE_FILE, TIME_FILE, *decoder_files(manifest.precision)} | (
        {EVENTS_FILE} if manifest.has_events else set()
    )
    if missing := needed - set(manifest.files):
        raise BundleError(f"the manifest in {folder} does not list {sorted(missing)}; export again")
