"""The compiled operators: the server's own kernels for operators of the exported graphs.

They are compiled when the package is installed (`setup.py`), from `inference_server/native`. Bundles run
without them as well, slower: ONNX Runtime then runs the functions that the bundles have for these operators.
"""

import ctypes
import logging
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import onnxruntime as ort

log = logging.getLogger(__name__)

NAME = "_operators"
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Library:
    """The compiled library.

    Attributes
    ----------
    file
        Where it is.
    instruction_set
        What it uses of this processor: "amx" (AVX-512 and the matrix unit), "avx512_vnni" (AVX-512 and its
        instructions for 8-bit products), "avx512", "avx2" or "portable".
    """

    file: Path
    instruction_set: str


def register(options: ort.SessionOptions) -> None:
    """Let a session run its operators by the library, where there is one."""
    found = library()
    if found is not None:
        options.register_custom_ops_library(str(found.file))


def instruction_set() -> str | None:
    """Return what the library uses of this processor; None without a library."""
    found = library()
    return found.instruction_set if found is not None else None


@cache
def library() -> Library | None:
    """Return the compiled library; None, with one warning in the log, where there is none to load."""
    return load(FOLDER)


def load(folder: Path) -> Library | None:
    """Load the library in a folder; None, with a warning in the log, where there is none to load."""
    files = [file for suffix in EXTENSION_SUFFIXES if (file := folder / f"{NAME}{suffix}").exists()]
    if not files:
        log.warning(
            "the compiled operators are missing, so forecasts take longer: install the package where "
            "there is a C++ compiler (docs/operations.md)"
        )
        return None
    try:
        name = ctypes.CDLL(str(files[0])).kronos_instruction_set
    except (OSError, AttributeError) as error:  # no library, or one of another version
        log.warning(
            "the compiled operators can't be loaded, so forecasts take longer: install the package again "
            "(docs/operations.md): %s",
            error,
        )
        return None
    name.restype = ctypes.c_char_p
    return Library(files[0], name().decode())
