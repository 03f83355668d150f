"""Parity figures: how far an exported graph's values are from torch's."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray


def logit_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the relative logit differences among a bundle's parity figures."""
    return {name: figure for name, figure in figures.items() if "logits" in name}


def largest(figures: Mapping[str, float]) -> tuple[str, float]:
    """Return the largest figure and its name; NaN is larger than any number.

    Python's `max` keeps the first of two values if one is NaN.
    """
    return max(figures.items(), key=lambda item: math.inf if math.isnan(item[1]) else item[1])


def cpu_session(file: Path) -> ort.InferenceSession:
    """Load a graph on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def relative_difference(exported: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference relative to the largest value expected (at least 1); NaN where any is."""
    scale = np.maximum(1.0, np.abs(expected).max())
    return float(np.abs(exported - expected).max() / scale)
