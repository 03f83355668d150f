"""The demo's instant and symbols."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from flows.demonstration.choices import first_symbols, instant_before_a_decision, instants
from market.instruments import Instrument

DECISION = datetime(2024, 12, 18, 19, tzinfo=UTC)


def frames(last: datetime, *decisions: datetime) -> dict[str, pl.DataFrame]:
    market = {"candles_1h": pl.DataFrame({"timestamp": [last]})}
    if decisions:
        titles = ["Federal Funds Rate"] * len(decisions)
        market["economic_calendar"] = pl.DataFrame({"event_time": decisions, "title": titles})
    return market


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        (frames(datetime(2024, 12, 31, 23, tzinfo=UTC), DECISION), "2024-12-18T13:00"),
        (frames(datetime(2024, 12, 18, 12, tzinfo=UTC), DECISION), "2024-12-18T13:00"),
        (frames(datetime(2024, 12, 1, 12, tzinfo=UTC), DECISION), "2024-12-02T12:00"),
        (frames(datetime(2024, 12, 1, 12, tzinfo=UTC)), "2024-12-02T12:00"),
    ],
    ids=["within the candles", "a day ahead", "beyond the candles", "no calendar"],
)
def test_the_instant_is_before_a_decision(market: dict[str, pl.DataFrame], expected: str) -> None:
    assert instant_before_a_decision(market) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("title", ["Fed Interest Rate Decision (Dec)", "FEDERAL FUNDS RATE"])
def test_a_decision_may_have_any_providers_title(title: str) -> None:
    market = frames(datetime(2024, 12, 31, 23, tzinfo=UTC), DECISION)
    calendar = market["economic_calendar"].with_columns(title=pl.lit(title), currency=pl.lit("usd"))
    assert instant_before_a_decision(market | {"economic_calendar": calendar}) == DECISION - timedelta(
        hours=6
    )


def test_reads_times_of_a_csv_file() -> None:
    frame = pl.DataFrame({"ts": ["2024-12-01T12:00:00Z"]})
    assert instants(frame, "ts") == [datetime(2024, 12, 1, 12, tzinfo=UTC)]


def instrument(symbol: str, asset_class: str) -> Instrument:
    return Instrument(symbol, asset_class, "24/7")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["equity", "crypto", "fx", "metal"], ["s2", "s3", "s1"]),
        (["equity", "index"], ["s0", "s1"]),
        (["fx"] * 30, [f"s{number}" for number in (0, 1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)]),
    ],
    ids=["classes of the training data first", "other classes where there are no such", "a dozen"],
)
def test_the_symbols_are_those_that_the_checkpoint_was_trained_for(
    classes: list[str], expected: list[str]
) -> None:
    instruments = [instrument(f"s{number}", name) for number, name in enumerate(classes)]
    assert first_symbols(instruments) == expected
