"""Reads JSON documents in the shapes that data providers give: lists of objects, columns, rows of candles."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from flows.files.errors import TableError, excerpt

_SYMBOL_FIELDS: Final = ("symbol", "ticker")
_FEWEST_COLUMNS: Final = 3  # lists of values of one length that make a table

# Rows of candles without names: ccxt's, and Binance's with the volume in the quote currency as eighth value.
_CANDLE_ROW: Final = ("timestamp", "open", "high", "low", "close", "volume")
_CANDLE_ROWS: Final[Mapping[int, Mapping[str, int]]] = {
    6: {name: place for place, name in enumerate(_CANDLE_ROW)},
    12: {**{name: place for place, name in enumerate(_CANDLE_ROW)}, "amount": 7},
}


def json_frame(content: bytes, *, lines: bool = False) -> pl.DataFrame:
    """Return the rows of a JSON document, or of one object per line.

    Taken are a list of objects, an object of columns (lists of one length), a list of rows of candles as
    ccxt and Binance give them, and an object around one of these: ``{"economicCalendar": […]}``, or
    ``{"bars": {"SPY": […]}}`` with a list for each symbol. A symbol beside the list becomes a column.

    Parameters
    ----------
    lines
        Whether there is one object per line for certain, which a text of a single line does not show.

    Raises
    ------
    TableError
        The text is not JSON (cut off, for example), or holds no rows.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        document = _decode_lines(content) if lines else msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        try:
            document = _decode_lines(content)
        except msgspec.DecodeError:
            raise TableError(f"it is not whole JSON ({error}); it begins with {excerpt(content)}") from None
    return _frame(document, content)


def _decode_lines(content: bytes) -> list[Any]:
    return msgspec.json.Decoder().decode_lines(content)


def _frame(document: Any, content: bytes) -> pl.DataFrame:
    if isinstance(document, list):
        return _frame_of_list(document, content)
    if not isinstance(document, dict):
        raise _without_rows(content)
    columns = {name: values for name, values in document.items() if _is_column(values)}
    if len(columns) >= _FEWEST_COLUMNS and len({len(values) for values in columns.values()}) == 1:
        return _with_symbol(pl.DataFrame(columns, strict=False), document)
    lists = [value for value in document.values() if isinstance(value, list)]
    if len(lists) == 1:
        return _with_symbol(_frame_of_list(lists[0], content), document)
    by_symbol = [value for value in document.values() if _is_list_by_symbol(value)]
    if len(by_symbol) == 1:
        return _frame_of_symbols(by_symbol[0], content)
    raise _without_rows(content)


def _frame_of_list(rows: Sequence[Any], content: bytes) -> pl.DataFrame:
    if rows and all(isinstance(row, dict) for row in rows):
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)
    if rows and all(isinstance(row, list) for row in rows):
        return _candle_rows(rows)
    raise _without_rows(content)


def _candle_rows(rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    widths = {len(row) for row in rows}
    places = _CANDLE_ROWS.get(widths.pop()) if len(widths) == 1 else None
    if places is None:
        raise TableError(
            "its rows have no names of columns, and are neither candles as ccxt gives them (6 values: time, "
            "open, high, low, close, volume) nor as Binance does (12 values); give a list of objects"
        )
    return pl.DataFrame({name: [row[place] for row in rows] for name, place in places.items()}, strict=False)


def _frame_of_symbols(by_symbol: Mapping[str, Sequence[Any]], content: bytes) -> pl.DataFrame:
    frames = [
        _frame_of_list(rows, content).with_columns(symbol=pl.lit(symbol))
        for symbol, rows in by_symbol.items()
        if rows
    ]
    if not frames:
        raise _without_rows(content)
    return pl.concat(frames, how="diagonal_relaxed")


def _with_symbol(frame: pl.DataFrame, document: Mapping[str, Any]) -> pl.DataFrame:
    """Add the symbol that stands beside the rows, in the object or in its ``meta``, as a column."""
    if "symbol" in frame.columns:
        return frame
    meta = document.get("meta")
    places = [document, *([meta] if isinstance(meta, dict) else [])]
    symbols = [place[name] for place in places for name in _SYMBOL_FIELDS if isinstance(place.get(name), str)]
    return frame.with_columns(symbol=pl.lit(symbols[0])) if symbols else frame


def _is_column(values: Any) -> bool:
    return isinstance(values, list) and not any(isinstance(value, list | dict) for value in values)


def _is_list_by_symbol(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(rows, list) for rows in value.values())


def _without_rows(content: bytes) -> TableError:
    return TableError(f"its JSON has no rows; it begins with {excerpt(content)}")
