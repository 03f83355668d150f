"""Reads columns of Polars and pandas DataFrames and of mappings of arrays, and builds such frames.

A library is imported only once a frame of it is passed.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
"""Values of one column: datetime64[us] in UTC, integers, floats (NaN for a missing value), or objects."""


class FrameError(ValueError):
    """A frame of candles cannot be used; the message says why, what is expected and what to do."""


class Library(Protocol):
    """The operations on frames of one library."""

    def names(self, frame: Any) -> list[str]:
        """Return the names of a frame's columns."""

    def index(self, frame: Any) -> Column | None:
        """Return the instants of a frame's index, or None if it has no index of instants."""

    def values(self, frame: Any, name: str) -> Column:
        """Return a column."""

    def time_type(self, frame: Any, name: str | None) -> Any:
        """Return the type of a time column, or of the index (None), for the instants that `build` returns."""

    def build(self, columns: Mapping[str, Column], time_type: Any) -> Any:
        """Return a frame; its column `timestamp`, datetime64[us] in UTC, becomes one of `time_type`."""


def library_of(frame: Any) -> Library:
    """Return the operations for a frame.

    Raises
    ------
    FrameError
        If it is neither a DataFrame of Polars or pandas nor a mapping.
    """
    for kind in type(frame).__mro__:
        if kind.__name__ == "DataFrame":
            package = kind.__module__.partition(".")[0]
            if package == "polars":
                return _Polars()
            if package == "pandas":
                return _Pandas()
    if isinstance(frame, Mapping):
        return _Arrays()
    kind_name = f"{type(frame).__module__}.{type(frame).__qualname__}"
    hint = "; collect() it first" if type(frame).__name__ == "LazyFrame" else ""
    raise FrameError(
        f"a {kind_name} given; expected a DataFrame of Polars or pandas, or a mapping of column names to "
        f"arrays{hint}"
    )


class _Polars:
    def names(self, frame: Any) -> list[str]:
        return list(frame.columns)

    def index(self, frame: Any) -> None:
        return None

    def values(self, frame: Any, name: str) -> Column:
        import polars as pl

        column = frame[name]
        if column.dtype == pl.Date:
            column = column.cast(pl.Datetime("us"))
        if isinstance(column.dtype, pl.Datetime):
            if column.dtype.time_zone is not None:
                column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            return np.asarray(column.dt.cast_time_unit("us").to_numpy(), dtype="datetime64[us]")
        if column.dtype.is_integer() and not column.null_count():
            return np.asarray(column.to_numpy())
        if column.dtype.is_numeric():
            return np.asarray(column.cast(pl.Float64).to_numpy(), dtype=np.float64)
        return _objects(column.to_list())

    def time_type(self, frame: Any, name: str | None) -> Any:
        import polars as pl

        dtype = frame.schema[name]
        return dtype if isinstance(dtype, pl.Datetime) else pl.Datetime("us")

    def build(self, columns: Mapping[str, Column], time_type: Any) -> Any:
        import polars as pl

        frame = pl.DataFrame(
            {name: values.tolist() if values.dtype == object else values for name, values in columns.items()}
        )
        time = pl.col("timestamp")
        if time_type.time_zone is not None:
            time = time.dt.replace_time_zone("UTC").dt.convert_time_zone(time_type.time_zone)
        return frame.with_columns(time.cast(time_type))


class _Pandas:
    def names(self, frame: Any) -> list[str]:
        return list(frame.columns)

    def index(self, frame: Any) -> Column | None:
        import pandas as pd

        return self._column(frame.index.to_series()) if isinstance(frame.index, pd.DatetimeIndex) else None

    def values(self, frame: Any, name: str) -> Column:
        return self._column(frame[name])

    def _column(self, column: Any) -> Column:
        from pandas.api import types

        if types.is_datetime64_any_dtype(column.dtype):
            if column.dt.tz is not None:
                column = column.dt.tz_convert("UTC").dt.tz_localize(None)
            return np.asarray(column.to_numpy(), dtype="datetime64[us]")
        if types.is_bool_dtype(column.dtype) or not types.is_numeric_dtype(column.dtype):
            return _objects(column.tolist())
        if types.is_integer_dtype(column.dtype) and not column.hasnans:
            return np.asarray(column.to_numpy(dtype=np.int64))
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))

    def time_type(self, frame: Any, name: str | None) -> Any:
        from pandas.api import types

        dtype = (frame.index if name is None else frame[name]).dtype
        return dtype if types.is_datetime64_any_dtype(dtype) else np.dtype("datetime64[us]")

    def build(self, columns: Mapping[str, Column], time_type: Any) -> Any:
        import pandas as pd

        frame = pd.DataFrame(dict(columns))
        zone = pd.Series(dtype=time_type).dt.tz
        times = frame["timestamp"]
        if zone is not None:
            times = times.dt.tz_localize("UTC").dt.tz_convert(zone)
        return frame.assign(timestamp=times.astype(time_type))


class _Arrays:
    def names(self, frame: Any) -> list[str]:
        return list(frame)

    def index(self, frame: Any) -> None:
        return None

    def values(self, frame: Any, name: str) -> Column:
        return as_column(frame[name], name)

    def time_type(self, frame: Any, name: str | None) -> None:
        return None

    def build(self, columns: Mapping[str, Column], time_type: Any) -> Any:
        return dict(columns)


def as_column(values: Any, name: str) -> Column:
    """Return a sequence or array as a column.

    Raises
    ------
    FrameError
        If it does not have one dimension.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise FrameError(f"{name} has shape {array.shape}; expected one value per row")
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]")
    return array if array.dtype.kind in "iuf" else _objects(list(values))


def _objects(values: list[Any]) -> Column:
    """Return values as objects, without NumPy's conversion of nested lists and texts."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
