from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from flows.events import EventConfig, EventError, load_config
from flows.events.config import FAMILIES, LEADERS
from market.time_grid import past_timestamps
from market.timeframes import TIMEFRAMES
from tests.helpers.event_markets import Market


def test_the_packaged_configuration_is_whole(config: EventConfig) -> None:
    assert set(config.releases) == set(FAMILIES)
    assert set(config.leaders) == set(LEADERS)
    assert config.releases["cpi"].surprise == ("CPI m/m",)
    assert np.datetime64("2020-03-15T21:00", "us") in config.unscheduled
    for leader in config.leaders.values():
        for timeframe in TIMEFRAMES:
            assert len(past_timestamps(leader, timeframe, np.datetime64("2022-06-15"), 3)) == 3


def test_every_configured_title_is_in_the_real_calendar(market: Market) -> None:
    present = set(market.calendar.select("currency", "title").unique().rows())
    wanted = {(found.currency, t) for found in market.config.releases.values() for t in found.titles}
    wanted |= {
        (currency, title) for currency, titles in market.config.rate_decisions.items() for title in titles
    }
    assert wanted <= present


def test_every_configured_unscheduled_decision_is_in_the_real_calendar(market: Market) -> None:
    times = market.calendar.filter(market.calendar["event_type"].is_in(["fomc", "rate_decision"]))[
        "event_time"
    ]
    stored = times.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    assert set(market.config.unscheduled) <= set(stored)


def test_a_file_named_in_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = files("flows.events").joinpath("events.toml").read_text(encoding="utf-8")
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('"CPI m/m"', '"Consumer prices"'), encoding="utf-8")
    monkeypatch.setenv("KRONOS_EVENTS_CONFIG", str(mine))
    assert load_config().releases["cpi"].titles == ("Consumer prices",)


@pytest.mark.parametrize("text", ["releases = 3", "not toml", ""])
def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EventError, match=r"bad\.toml.*every entry of flows/events/events\.toml"):
        load_config(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EventError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")
