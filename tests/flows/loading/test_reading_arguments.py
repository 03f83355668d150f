"""The options of the command line that say how a file is read."""

import argparse

import pytest

from flows.files.options import ReadOptions
from flows.loading.reading_arguments import add_reading_arguments, read_options


def parsed(what: str, *arguments: str) -> ReadOptions:
    parser = argparse.ArgumentParser()
    add_reading_arguments(parser, what)
    return read_options(parser.parse_args(arguments))


def test_options() -> None:
    assert parsed("candles") == ReadOptions()
    assert parsed(
        "calendar",
        "--map",
        "event_time=Datum, title=Ereignis",
        "--map",
        "actual=",
        "--timezone",
        "Europe/Berlin",
        "--date-order",
        "dmy",
        "--decimal",
        "comma",
        "--preset",
        "investing",
    ) == ReadOptions(
        {"event_time": "Datum", "title": "Ereignis", "actual": ""},
        "Europe/Berlin",
        "dmy",
        "comma",
        "investing",
    )
    assert parsed("indicators", "--preset", "fred").preset == "fred"


@pytest.mark.parametrize("text", ["Datum", "=Datum", "timestamp=Datum,close"])
def test_a_part_without_a_name_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("candles", "--map", text)
    assert "names no column; expected the name of the help, an equals sign" in capsys.readouterr().err
