"""The model of a list of servers, and the error where none of them can be used."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import msgspec
import pytest

from flows.runtime import server_list
from flows.runtime.server_list import all_failed, first_model
from inference_server.client import Client, ClientError, PredictionRefused, ServerTimeout, ServerUnavailable
from inference_server.schemas import Problem
from tests.helpers.stand_in_server import MODEL, Script, silent_server, stand_in_server

DOWN = "http://127.0.0.1:1"
OTHER = msgspec.structs.replace(MODEL, version="v2")


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as started:
        yield started


def clients(addresses: Sequence[str]) -> dict[str, Client]:
    return {address: Client(address, 5.0) for address in addresses}


def test_the_order_of_the_list_decides(servers: ExitStack) -> None:
    addresses = [servers.enter_context(stand_in_server(Script(model=model))) for model in (OTHER, MODEL)]
    notices: list[str] = []
    assert first_model(clients(addresses), 5.0, notices.append) == OTHER
    assert first_model(clients(addresses[::-1]), 5.0, notices.append) == MODEL
    assert notices == []


@pytest.mark.parametrize("status", [401, 500, 503])
def test_servers_that_do_not_name_a_model_are_passed_over_and_named(servers: ExitStack, status: int) -> None:
    failing = servers.enter_context(stand_in_server(Script(model=OTHER, model_statuses=[status])))
    serving = servers.enter_context(stand_in_server(Script()))
    notices: list[str] = []
    assert first_model(clients([DOWN, failing, serving]), 5.0, notices.append) == MODEL
    down, failed = notices
    assert down.startswith(f"server-unavailable: SERVER UNAVAILABLE: {DOWN}: the other servers make")
    assert failing in failed
    assert f"({status})" in failed


def test_a_server_that_hangs_keeps_the_others_waiting_for_a_short_time_only(
    servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_list, "CHECK_S", 0.2)
    hanging = servers.enter_context(silent_server())
    serving = servers.enter_context(stand_in_server(Script()))
    notices: list[str] = []
    assert first_model(clients([hanging, serving]), 600.0, notices.append) == MODEL
    assert f"{hanging}: the other servers make its forecasts: no answer from {hanging}/model" in notices[0]


def test_no_message_shows_a_password(servers: ExitStack) -> None:
    down = "http://user:secret@127.0.0.1:1"
    serving = servers.enter_context(stand_in_server(Script()))
    notices: list[str] = []
    first_model(clients([down, serving]), 5.0, notices.append)
    assert "http://127.0.0.1:1/model" in notices[0]
    assert "secret" not in notices[0]


def test_where_none_names_a_model_each_is_named() -> None:
    with pytest.raises(ServerUnavailable, match=r"no server of the list can be used: .*:1/model.*:2/model"):
        first_model(clients([DOWN, "http://127.0.0.1:2"]), 5.0, lambda _: None)


REFUSED = PredictionRefused(401, Problem(title="Unauthorised", status=401, detail="no key"))


@pytest.mark.parametrize(
    ("failures", "kind", "retry_after_s"),
    [
        ([ServerTimeout("slow")], ServerTimeout, None),
        ([ServerUnavailable("down"), ServerUnavailable("gone")], ServerUnavailable, None),
        ([ServerUnavailable("down"), ServerUnavailable("busy", 429, 30.0)], ServerUnavailable, 30.0),
        (
            [ServerUnavailable("busy", 429, 30.0), ServerUnavailable("busy", 503, 5.0)],
            ServerUnavailable,
            5.0,
        ),
        ([REFUSED, ServerUnavailable("down")], ServerUnavailable, None),
        ([REFUSED, REFUSED], PredictionRefused, None),
    ],
)
def test_the_error_of_all_is_that_of_the_failures_which_can_heal(
    failures: list[ClientError], kind: type[ClientError], retry_after_s: float | None
) -> None:
    error = all_failed(failures)
    assert type(error) is kind
    assert getattr(error, "retry_after_s", None) == retry_after_s
    assert all(str(failure) in str(error) for failure in failures)
