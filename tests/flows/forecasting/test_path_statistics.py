"""What a run asks of the paths: fields of a request by the last close, and moves that name no price."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from flows.forecasting.forecasts import build_request, build_row
from flows.forecasting.path_statistics import WantedStatistics, moved_prices, request_fields
from inference_server.schemas import Probabilities, ProbabilityRequest, Statistics
from tests.flows.forecasting.test_forecasts import ORDER, WINDOW, answer


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({}, {}),
        ({"quantiles": (0.05, 0.95)}, {"quantiles": [0.05, 0.95]}),
        ({"moves": ()}, {"probabilities": ProbabilityRequest()}),
        (
            {"moves": (0.02, -0.1)},
            {"probabilities": ProbabilityRequest(close_above=[66.3612, 58.554], touch=[66.3612, 58.554])},
        ),
        ({"realised_volatility": True}, {"realised_volatility": True}),
    ],
)
def test_what_is_wanted_is_asked_for(wanted: dict[str, Any], fields: dict[str, Any]) -> None:
    assert request_fields(WantedStatistics(**wanted), 65.06) == fields
    assert bool(WantedStatistics(**wanted)) == bool(fields)


def test_the_request_asks_for_them_by_the_last_close_and_for_none_as_before() -> None:
    request = build_request(replace(ORDER, statistics=WantedStatistics(moves=(1.0,))))
    assert request.probabilities == ProbabilityRequest(close_above=[66.0], touch=[66.0])  # a close of 33
    assert b"probabilities" not in msgspec.json.encode(build_request(ORDER))


@pytest.mark.parametrize("move", [-1.0, -2.0, float("nan"), float("inf")])
def test_a_move_that_leads_to_no_price_is_refused(move: float) -> None:
    with pytest.raises(ValueError, match="changes of the last close above -1"):
        WantedStatistics(moves=(0.02, move))


def test_moves_of_a_price_below_zero_name_no_prices_and_that_is_said() -> None:
    assert moved_prices((0.02,), -37.6) == []
    window = replace(WINDOW, columns={name: values - 40 for name, values in WINDOW.columns.items()})
    order = replace(ORDER, window=window, statistics=WantedStatistics(moves=(0.02,)))
    answered = answer(samples=[[1.0, 5.0]])
    answered.statistics = Statistics(
        paths=1, calibrated=False, last_close=-7.0, probabilities=Probabilities(up=[1.0, 1.0])
    )
    row = build_row(order, answered)
    assert row.statistics is not None
    assert row.statistics["probabilities"] == {"up": [1.0, 1.0]}
    assert row.warnings == [
        "statistics-undefined: the last close is -7, so that moves name no prices: probabilities hold P(up) "
        "alone"
    ]
    assert np.isfinite(row.p50).all()
