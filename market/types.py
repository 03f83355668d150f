"""Defines array types, named by their elements; docstrings give shapes and units."""

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
DatetimeArray = NDArray[np.datetime64]
"""Instants in UTC, datetime64[us] unless a docstring says otherwise."""
