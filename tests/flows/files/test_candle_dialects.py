"""Any frame of candles, written in any dialect that is claimed, is read back equal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flows.files.candle_files import read_candles
from flows.files.frames import read_table
from flows.files.options import ReadOptions
from flows.runtime.table_columns import CANDLES, part

COLUMNS = ("symbol", "ts", "open", "high", "low", "close", "volume")
ZONES = [None, "UTC", "Europe/Berlin", "America/New_York"]
DATES = {
    "%Y-%m-%d": None,
    "%Y.%m.%d": None,
    "%d.%m.%Y": None,
    "%d/%m/%Y": "dmy",
    "%m/%d/%Y": "mdy",
    "%b %d, %Y": None,
}
NAMES = [
    ("symbol", "timestamp", "open", "high", "low", "close", "volume"),
    ("Ticker", "Datetime", "Open", "High", "Low", "Close", "Vol."),
    ("代码", "时间", "开盘", "最高", "最低", "收盘", "成交量"),
]


@st.composite
def candle_frames(draw: st.DrawFn) -> pl.DataFrame:
    start = draw(st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1))).replace(
        minute=0, second=0, microsecond=0
    )
    count = draw(st.integers(1, 5))
    cents = st.integers(100, 10**8)
    rows = []
    for place in range(count):
        low, *between, high = sorted(draw(st.tuples(cents, cents, cents, cents)))
        at = (start + timedelta(hours=place)).replace(tzinfo=UTC)
        volume = draw(st.none() | st.integers(0, 10**9))
        rows.append(("A", at, between[0] / 100, high / 100, low / 100, between[1] / 100, volume))
    return pl.DataFrame(rows, schema=part(CANDLES, COLUMNS), orient="row")


def number_text(value: float | None, decimal: str, thousands: str) -> str:
    if value is None:
        return "-"
    text = f"{value:,.2f}"
    return text.replace(",", "t").replace(".", decimal).replace("t", thousands)


def lines_of(
    frame: pl.DataFrame,
    separator: str,
    signs: tuple[str, str],
    form: str,
    zone: str | None,
    names: Sequence[str],
) -> list[str]:
    lines = [separator.join(names)]
    for symbol, at, *values in frame.rows():
        local = at if zone is None else at.astimezone(ZoneInfo(zone))
        time = f"{local.strftime(form)} {local:%H:%M:%S}{'Z' if zone is None else ''}"
        cells = [symbol, time, *(number_text(value, *signs) for value in values)]
        lines.append(separator.join(f'"{cell}"' if separator in cell else cell for cell in cells))
    return lines


@given(
    frame=candle_frames(),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    signs=st.sampled_from([(".", ""), (".", ","), (",", "."), (",", " "), (",", ""), (".", "'")]),
    form=st.sampled_from(list(DATES)),
    zone=st.sampled_from(ZONES),
    names=st.sampled_from(NAMES),
    newest_first=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_frame_in_any_dialect_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    frame: pl.DataFrame,
    separator: str,
    signs: tuple[str, str],
    form: str,
    zone: str | None,
    names: Sequence[str],
    newest_first: bool,
    encoding: str,
) -> None:
    if zone is not None:  # of an hour that a clock shows twice a file must have both candles
        local = frame["ts"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
        single = local.dt.replace_time_zone(zone, ambiguous="latest") == frame["ts"].dt.convert_time_zone(
            zone
        )
        assume(single.all())
    written = frame.reverse() if newest_first else frame
    file = tmp_path_factory.getbasetemp() / "dialect.csv"
    lines = lines_of(written, separator, signs, form, zone, names)
    file.write_bytes("\n".join([*lines, ""]).encode(encoding))
    options = ReadOptions(timezone=zone, date_order=DATES[form])  # type: ignore[arg-type]  # a key of the table
    read = read_candles(read_table(file).frame, "1h", options=options).rows
    assert read.drop("amount").equals(frame)
