"""Dates in every form that files have, and the orders that are asked for."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.files.errors import TableError
from flows.files.options import DateOrder
from flows.files.written_dates import date_order, read_dates

SECOND = date(2024, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02",
        "2024/1/2",
        "2024.01.02",
        "20240102",
        "2024年1月2日",
        "Jan 02, 2024",
        "January 2, 2024",
        "2 Jan 2024",
        "02-Jan-2024",
        "02-Jan-24",
        "Tue, 02 Jan 2024",
        "Tuesday 2 January 2024",
        "2 JANU 2024",
        "02.01.2024",
    ],
)
def test_forms_with_one_reading(text: str) -> None:
    assert read_dates([text]) == {text: SECOND}


@pytest.mark.parametrize(
    "text", ["soon", "2024-13-01", "30 Feb 2024", "1/2/3", "2024-01", "1.2", "2024-01/02"]
)
def test_what_is_no_date(text: str) -> None:
    assert read_dates([text], "dmy") == {}


@pytest.mark.parametrize(
    "text",
    [
        "12 März 2024",
        "12. Dez. 2024",
        "3 marraskuu 2024",  # the Finnish November
        "Avr 12, 2024",
        "12 de enero de 2024",
        "12-мар-24",
        "12 mars 2024",
    ],
)
def test_a_month_in_another_language_is_refused(text: str) -> None:
    with pytest.raises(TableError, match=f"the month of the date '{text}' has no English name"):
        read_dates(["2024-01-02", text])


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["13/01/2024", "01/02/2024"], "dmy"),
        (["01/13/2024", "01/02/2024"], "mdy"),
        (["02.01.2024"], "dmy"),
        (["01.13.2024"], "mdy"),
        (["45/12/31", "24/12/15"], "ymd"),
        (["31/12/99"], "dmy"),
        (["2024-01-02"], None),
    ],
)
def test_the_order_that_fits_every_date(texts: list[str], order: DateOrder | None) -> None:
    assert date_order(texts) == order


def test_an_unsure_order_is_asked_for_with_its_readings() -> None:
    question = (
        r"'01/02/2024' is 2024-02-01 \(day, month, year\), or 2024-01-02 .*: give --date-order dmy or mdy"
    )
    with pytest.raises(TableError, match=question):
        read_dates(["01/02/2024", "03/04/2024"])
    assert read_dates(["01/02/2024"], "mdy") == {"01/02/2024": SECOND}
    with pytest.raises(TableError, match="dmy or mdy or ymd"):
        read_dates(["01/02/03"])
    with pytest.raises(
        TableError, match=r"no common order: '01/13/2024' is no day, month, year; '13/01/2024' is"
    ):
        read_dates(["13/01/2024", "01/13/2024"])


@given(
    st.lists(st.dates(date(1970, 1, 1), date(2069, 12, 31)), min_size=1),
    st.sampled_from(["%d/%m/%Y", "%m-%d-%Y"]),
)
def test_dates_are_read_as_written_or_asked_for(days: list[date], form: str) -> None:
    texts = [day.strftime(form) for day in days]
    try:
        assert list(read_dates(texts).values()) == list(dict.fromkeys(days))
    except TableError:
        assert all(day.day <= 12 for day in days)
