"""Reads numbers as people write them: ``1,234.5``, ``1.234,5``, ``12.3M``, ``$45.20``, ``null``."""

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from flows.files.errors import TableError
from flows.files.options import Decimal

MISSING: Final = ("", "-", "--", "–", "—", ".", "null", "none", "nil", "nan", "n/a", "na", "#n/a")
"""What stands for a missing value, in small letters."""

_FACTORS: Final[Mapping[str, float]] = {
    "": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "万": 1e4, "亿": 1e8,
}  # fmt: skip
_SPACES: Final = "[\\s\\u{a0}\\u{2009}\\u{202f}'’]"
_SIGN: Final = r"[+-]?"
_CURRENCY: Final = r"(?:[A-Z]{1,2})?\p{Sc}"
_NUMBER: Final = (
    rf"^[<>~≈]?\s*(?P<sign>{_SIGN})\s*(?:{_CURRENCY})?\s*(?P<inner>{_SIGN})"
    r"(?P<digits>[\d.,]*\d[.,]?)(?P<exponent>[eE][+-]?\d+)?\s*(?P<unit>[KkMmBbTt万亿]?)"
    r"\s*(?P<percent>%?)\s*(?:\p{Sc})?$"
)
# A separator whose place shows which of the two it is; the comma stands for either.
_DECIMAL_COMMA: Final = r"^0*,\d+$|^\d*,(?:\d{1,2}|\d{4,})$|\.\d{3},\d+$|^\d{1,3}(?:\.\d{3}){2,}$"
_THOUSANDS: Final = r"^\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?$"
_UNSURE: Final = r"^[1-9]\d{0,2},\d{3}$"


def without_missing(texts: pl.Series) -> pl.Series:
    """Return text without blanks around it; what stands for a missing value becomes NULL."""
    stripped = texts.str.strip_chars()
    return stripped.set(stripped.str.to_lowercase().is_in(MISSING), None)


def is_plain(texts: pl.Series) -> bool:
    """Return whether every text is a number as programs write them, such as ``-1234.5`` or ``1e-5``."""
    return texts.cast(pl.Float64, strict=False).null_count() == texts.null_count()


def decimal_sign(columns: Iterable[pl.Series], given: Decimal | None) -> Decimal:
    """Return whether a point or a comma stands before the decimals, from all numbers of a file.

    A separator before one, two or four digits, or behind another kind of separator, shows what it is; so does
    one that occurs twice in a number. Without any comma in the file it is the point.

    Parameters
    ----------
    columns
        Text.
    given
        The answer, if the user gave one.

    Raises
    ------
    TableError
        The numbers can be read in two ways, or contradict each other; the message shows them.
    """
    columns = list(columns)
    if given is not None:
        return given
    if all(is_plain(texts) for texts in columns):
        return "point"
    comma = point = unsure = None
    for texts in columns:
        digits = _parts(without_missing(texts).unique()).drop_nulls("digits")
        comma = comma or _first(digits, "digits", _DECIMAL_COMMA)
        exchanged = digits.with_columns(exchanged=_exchanged("digits"))
        point = point or _first(exchanged, "exchanged", _DECIMAL_COMMA)
        unsure = unsure or _first(digits, "digits", _UNSURE)
    if comma is not None and point is not None:
        raise TableError(
            f"its numbers are written in two ways: {comma!r} has a decimal comma and {point!r} a decimal "
            "point; give --decimal comma or --decimal point, and correct the others"
        )
    if comma is None and point is None and unsure is not None:
        whole, part = unsure.replace(",", ""), unsure.replace(",", ".")
        raise TableError(
            f"{unsure!r} is {whole} if the comma separates thousands, or {part} if it is a decimal comma, "
            "and no number of the file decides it: give --decimal point or --decimal comma"
        )
    return "point" if comma is None else "comma"


def numbers(texts: pl.Series, decimal: Decimal, *, percent: bool = False) -> pl.Series:
    """Return text as float64; what is missing, and what is no number, becomes NULL.

    K, M, B and T multiply by a thousand, a million, a billion and a trillion, 万 and 亿 by 10⁴ and 10⁸. Signs
    of currencies are ignored; blanks, apostrophes and the other separator stand between thousands.

    Parameters
    ----------
    percent
        Whether a number may end in a percent sign, which is then ignored: ``1.6%`` is 1.6.
    """
    if decimal == "point":
        plain = texts.cast(pl.Float64, strict=False)
        if plain.null_count() == texts.null_count():
            return plain.fill_nan(None)
    parts = _parts(without_missing(texts))
    if decimal == "comma":
        parts = parts.with_columns(digits=_exchanged("digits"))
    grouped = pl.col("digits").str.contains(",")
    sound = ~grouped | pl.col("digits").str.contains(_THOUSANDS)
    if not percent:
        sound &= pl.col("percent") == ""
    number = pl.concat_str(
        pl.col("sign") + pl.col("inner"), pl.col("digits").str.replace_all(",", ""), "exponent"
    )
    factor = pl.col("unit").str.to_uppercase().replace_strict(_FACTORS, return_dtype=pl.Float64)
    return parts.select(
        pl.when(sound).then(number.cast(pl.Float64, strict=False) * factor).alias(texts.name)
    ).to_series()


def _parts(texts: pl.Series) -> pl.DataFrame:
    """Return sign, digits with their separators, exponent, unit and percent sign; NULL for other text."""
    text = pl.col("text").str.replace_all("−", "-", literal=True)
    for _ in range(2):  # neighbouring groups share no character with a match only every second time
        text = text.str.replace_all(rf"(\d){_SPACES}(\d{{3}})", "${1}${2}")
    groups = text.str.extract_groups(_NUMBER)
    fields = ("sign", "inner", "digits", "exponent", "unit", "percent")
    return (
        pl.DataFrame({"text": texts.cast(pl.String)})
        .with_columns(groups.alias("groups"))
        .select(
            "text",
            *(
                pl.col("groups").struct.field(name)
                if name == "digits"
                else pl.col("groups").struct.field(name).fill_null("")
                for name in fields
            ),
        )
    )


def _exchanged(column: str) -> pl.Expr:
    """Return an expression of a column in which commas and points have changed places."""
    return (
        pl.col(column)
        .str.replace_all(",", ";", literal=True)
        .str.replace_all(".", ",", literal=True)
        .str.replace_all(";", ".", literal=True)
    )


def _first(parts: pl.DataFrame, column: str, pattern: str) -> str | None:
    found = parts.filter(pl.col(column).str.contains(pattern))
    return None if found.is_empty() else str(found["text"].sort()[0])
