"""Describes the files of providers as far as the files don't say it themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from flows.files.errors import TableError
from flows.files.options import DateOrder, PresetName, ReadOptions


@dataclass(frozen=True)
class Preset:
    """What is known of a provider's files.

    Attributes
    ----------
    contents
        Which of ``candles``, ``calendar`` and ``indicators`` it gives.
    timezone
        Zone of times without one; None if it is another one in each file.
    date_order
        Order of the numbers in dates; None if that differs.
    local_epochs
        Whether Unix times are the clock of its server instead of UTC.
    blanks_repeat
        Whether a row of a calendar without date or time of day has that of the row above.
    note
        What a user should know of its candles.
    """

    contents: frozenset[str]
    timezone: str | None = None
    date_order: DateOrder | None = None
    local_epochs: bool = False
    blanks_repeat: bool = False
    note: str | None = None


PRESETS: Final[Mapping[PresetName, Preset]] = {
    "binance": Preset(frozenset({"candles"}), timezone="UTC"),
    "yfinance": Preset(frozenset({"candles"})),
    "metatrader": Preset(frozenset({"candles"}), date_order="ymd", local_epochs=True),
    "investing": Preset(frozenset({"candles", "calendar"})),
    "akshare": Preset(
        frozenset({"candles"}),
        timezone="Asia/Shanghai",
        note="akshare gives the volume of shares in lots of 100 for some functions and in shares for others; "
        "load one symbol from one of them",
    ),
    "forexfactory": Preset(frozenset({"calendar"}), date_order="mdy", blanks_repeat=True),
    "finnhub": Preset(frozenset({"candles", "calendar"}), timezone="UTC"),
    "fred": Preset(frozenset({"indicators"}), timezone="UTC"),
}


def preset_of(options: ReadOptions, content: str) -> Preset | None:
    """Return the preset that the options name, None if they name none.

    Raises
    ------
    TableError
        It is unknown, or its files are of another kind than `content`.
    """
    if options.preset is None:
        return None
    preset = PRESETS.get(options.preset)
    if preset is None:
        raise TableError(f"there is no preset {options.preset!r}; expected one of {', '.join(PRESETS)}")
    if content not in preset.contents:
        what = " and ".join(sorted(preset.contents))
        raise TableError(
            f"the preset {options.preset} is one for {what}, not for {content}: load its files with "
            f"`python -m flows.load {sorted(preset.contents)[0]} FILE`"
            + ("; one value a date is no candle" if options.preset == "fred" else "")
        )
    return preset


def with_preset(options: ReadOptions, content: str) -> ReadOptions:
    """Return options completed by those of the preset that they name.

    Raises
    ------
    TableError
        As `preset_of`.
    """
    preset = preset_of(options, content)
    if preset is None:
        return options
    return replace(
        options,
        timezone=options.timezone or preset.timezone,
        date_order=options.date_order or preset.date_order,
    )
