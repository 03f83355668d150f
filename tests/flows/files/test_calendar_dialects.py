"""Any calendar, written in any dialect that is claimed, is read back equal."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.files.calendar_files import read_calendar_file
from flows.files.frames import read_table
from flows.files.options import ReadOptions

DATES = {"%Y-%m-%d": None, "%d.%m.%Y": None, "%m-%d-%Y": "mdy", "%d/%m/%Y": "dmy", "%b %d, %Y": None}
CLOCKS = ["%H:%M", "%H:%M:%S", "%I:%M%p", "%I:%M %p"]
ZONES = ["UTC", "America/New_York", "Europe/Berlin"]
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)).map(
    lambda at: at.replace(hour=7 + at.hour // 2, second=0, microsecond=0)  # no hour at which clocks change
)


@settings(max_examples=40)
@given(
    times=st.lists(TIMES, min_size=1, max_size=4, unique=True),
    tenths=st.lists(st.integers(-(10**7), 10**7), min_size=4, max_size=4),
    separator=st.sampled_from([",", ";", "\t"]),
    comma=st.booleans(),
    form=st.sampled_from(list(DATES)),
    clock=st.sampled_from(CLOCKS),
    zone=st.sampled_from(ZONES),
    split=st.booleans(),
)
def test_a_calendar_in_any_dialect_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    times: list[datetime],
    tenths: list[int],
    separator: str,
    comma: bool,
    form: str,
    clock: str,
    zone: str,
    split: bool,
) -> None:
    names = (
        ["Date", "Time", "Currency", "Event", "Actual"] if split else ["Date", "Currency", "Event", "Actual"]
    )
    lines = [separator.join(names)]
    for number, at in enumerate(times):
        figure = f"{tenths[number] / 10:,.1f}%"
        when = [at.strftime(form), at.strftime(clock)]
        cells = [
            *(when if split else [" ".join(when)]),
            "USD",
            f"Title {number}",
            figure.translate(str.maketrans(",.", ".,")) if comma else figure,
        ]
        lines.append(separator.join(f'"{cell}"' if separator in cell else cell for cell in cells))
    file = tmp_path_factory.getbasetemp() / "calendar.csv"
    file.write_text("\n".join([*lines, ""]))
    options = ReadOptions(timezone=zone, date_order=DATES[form])  # type: ignore[arg-type]  # a key of the table
    rows = read_calendar_file(read_table(file).frame, options=options).rows.sort("title")
    assert rows["event_time"].to_list() == [at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for at in times]
    assert rows["actual"].to_list() == [tenths[number] / 10 for number in range(len(times))]
    assert rows["time_known"].null_count() == len(times)
