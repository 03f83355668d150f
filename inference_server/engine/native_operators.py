"""The library of this project's own kernels for operators of the exported graphs.

It is compiled when the package is installed (`setup.py`), from `inference_server/native`. Bundles run without
it as well, slower: ONNX Runtime then runs the functions that they have for these operators.
"""

import ctypes
import logging
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import onnxruntime as ort

log = logging.getLogger(__name__)

NAME = "_operators"


def register(options: ort.SessionOptions) -> None:
    """Let a session run its operators by the library, where there is one."""
    file = library()
    if file is not None:
        options.register_custom_ops_library(str(file))


@cache
def library() -> Path | None:
    """Return the compiled library; None, with a warning in the log, where there is none to load."""
    folder = Path(__file__).parent
    files = [file for suffix in EXTENSION_SUFFIXES if (file := folder / f"{NAME}{suffix}").exists()]
    if not files:
        log.warning(
            "the compiled operators are missing, so forecasts take longer: install the package where "
            "there is a C++ compiler (docs/operations.md)"
        )
        return None
    try:
        ctypes.CDLL(str(files[0]))
    except OSError as error:
        log.warning("the compiled operators can't be loaded, so forecasts take longer: %s", error)
        return None
    return files[0]
