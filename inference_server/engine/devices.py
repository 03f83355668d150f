"""Chooses the device for a bundle: a GPU that works, or the CPU, with the reason."""

import gc
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from inference_server.engine.bundle import Manifest, load_manifest
from inference_server.engine.cuda import CudaDevice, card_name
from inference_server.engine.device import CpuDevice, DeviceError
from inference_server.engine.engine import Engine

log = logging.getLogger(__name__)

GPU_PRECISION = "fp16"


@dataclass(frozen=True)
class DeviceChoice:
    """The device that the operator configured.

    Attributes
    ----------
    kind
        "cpu", "cuda" (if it fails, nothing is served) or "auto" (a GPU if one works).
    index
        Which card, numbered from 0.
    cuda_graphs
        Whether steps are captured as CUDA graphs.
    """

    kind: str = "auto"
    index: int = 0
    cuda_graphs: bool = True


def load_engine(
    bundle: Path, choice: DeviceChoice, cpu: CpuDevice, *, cache_bytes: int | None = None
) -> Engine:
    """Load a bundle on the configured device, and warm it.

    A GPU is chosen only after the whole engine was loaded there and ran, with CUDA graphs or, where those
    fail, without. An earlier failure is logged, its memory is freed, and the CPU is used, unless the
    operator requires a GPU.

    Parameters
    ----------
    bundle, choice
        The bundle's directory, and where it runs.
    cpu
        The device to fall back to.
    cache_bytes
        Memory for key/value caches; the device's default unless given.

    Raises
    ------
    BundleError
        The bundle is missing, altered or not understood.
    EngineError
        The cache is too small for one row on the CPU.
    DeviceError
        A GPU was insisted on and does not work; the message says why.
    """
    manifest = load_manifest(bundle)
    fallback = None
    if choice.kind != "cpu":
        try:
            return _on_gpu(bundle, manifest, choice, cache_bytes)
        except Exception as error:  # drivers, libraries and ONNX Runtime raise many types
            reason = _reason(error)
        gc.collect()  # frees the memory of the failed engine before the CPU's is loaded
        if choice.kind == "cuda":
            raise DeviceError(f"KRONOS_DEVICE asks for a GPU, and none can be used: {reason}")
        if manifest.precision == GPU_PRECISION or isinstance(reason, _Mismatch):
            fallback = str(reason)
            log.warning("the CPU serves instead of a GPU: %s", fallback)
        else:  # a bundle for the CPU on a machine without a GPU needs no message
            log.info("no GPU is used: %s", reason)
    engine = Engine(bundle, manifest, cpu, cache_bytes)
    engine.fallback = fallback
    engine.warm_up()
    return engine


@cache
def gpu(index: int, cuda_graphs: bool) -> CudaDevice:
    """Return a card; a reload gets the same object, with its stream."""
    return CudaDevice(index, cuda_graphs)


class _Mismatch(str):
    """The reason why a GPU that works cannot run a bundle."""


def _on_gpu(bundle: Path, manifest: Manifest, choice: DeviceChoice, cache_bytes: int | None) -> Engine:
    if manifest.precision != GPU_PRECISION:
        card = card_name(choice.index)
        raise DeviceError(
            _Mismatch(
                f"{card} is here, but its attention kernels take half precision only, and this bundle is "
                f"{manifest.precision}: export with --precision {GPU_PRECISION}, or say KRONOS_DEVICE=cpu"
            )
        )
    device = gpu(choice.index, choice.cuda_graphs)
    try:
        return _warmed(bundle, manifest, device, cache_bytes)
    except Exception as error:  # as in load_engine
        if not choice.cuda_graphs:
            raise
        reason = _reason(error)
    gc.collect()
    engine = _warmed(bundle, manifest, gpu(choice.index, False), cache_bytes)
    log.warning(
        "%s runs, but not with CUDA graphs, so steps take longer (%s); with KRONOS_CUDA_GRAPHS=off they are "
        "not tried",
        device.name,
        reason,
    )
    return engine


def _warmed(bundle: Path, manifest: Manifest, device: CudaDevice, cache_bytes: int | None) -> Engine:
    engine = Engine(bundle, manifest, device, cache_bytes)
    engine.warm_up()
    return engine


def _reason(error: Exception) -> str:
    """Return the message of an exception in one line."""
    if error.args and isinstance(error.args[0], _Mismatch):
        return error.args[0]
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
