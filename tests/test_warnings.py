"""Every warning's code is explained in docs/warnings.md, and nothing else is."""

import re
from pathlib import Path

from market.warning_codes import WarningCode, code_of, warning

DOCUMENT = Path(__file__).parents[1] / "docs" / "warnings.md"


def explained() -> list[list[str]]:
    """The cells of each row that begins with a code."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_document_lists_exactly_the_codes() -> None:
    listed = [cells[0].strip("`") for cells in explained()]
    codes = [str(code) for code in WarningCode]
    missing, unknown = sorted(set(codes) - set(listed)), sorted(set(listed) - set(codes))
    assert not missing, f"docs/warnings.md does not explain {', '.join(missing)}"
    assert not unknown, f"docs/warnings.md explains {', '.join(unknown)}, which WarningCode does not have"
    assert len(listed) == len(set(listed)), "docs/warnings.md explains a code twice"


def test_every_code_has_what_it_says_what_it_means_and_what_to_do() -> None:
    for cells in explained():
        assert len(cells) == 4, cells
        assert all(cells), cells


def test_codes_are_short_words_that_never_hold_a_colon() -> None:
    for code in WarningCode:
        assert re.fullmatch(r"[a-z]+(-[a-z]+){0,3}", code), code


def test_a_warning_begins_with_its_code() -> None:
    text = warning(WarningCode.CALENDAR_ENDS, "the calendar ends at 12:00: no schedule")
    assert text == "calendar-ends: the calendar ends at 12:00: no schedule"
    assert code_of(text) == WarningCode.CALENDAR_ENDS
