"""Rounds of faults: a run is disturbed, then run again, and every row is looked for."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from benchmarks.chaos.installation import KINDS, PATIENCE_S, ROOT, Installation, wait_for
from benchmarks.chaos.market import LOOKBACK, last_candle
from benchmarks.chaos.prefect_api import ENDED, RunState
from benchmarks.chaos.reader import missing
from sql.connect import connect

SPAN_S: Final = 8.0
"""Seconds after the start of a run's process in which its parts are killed: about as long as it takes."""

DOWN_S: Final = (0.2, 2.0)
"""Shortest and longest time until a killed part is started again."""

RUN: Final[dict[str, Any]] = {"timeframe": "1h", "pred_len": 120, "sample_count": 8, "lookback": LOOKBACK}


@dataclass
class Fault:
    """A part that is killed.

    Attributes
    ----------
    after_s
        Seconds between the start of the run's process and the kill.
    down_s
        Seconds until the part is started again.
    back_s
        Seconds from the kill until it was ready again.
    """

    kind: str
    after_s: float
    down_s: float
    back_s: float = 0.0


@dataclass
class Round:
    """What a round did and found.

    Attributes
    ----------
    disturbed
        State of the disturbed run when the second one had ended.
    repeated
        State of the second run at its end.
    missing
        Symbols without a row at the end.
    whole_s
        Seconds from the last kill until every symbol had its row.
    """

    as_of: datetime
    faults: list[Fault]
    disturbed: RunState
    repeated: RunState
    missing: list[str]
    whole_s: float


def plan(seed: int, rounds: int, faults: Callable[[random.Random], int]) -> list[list[Fault]]:
    """The faults of some rounds: kinds are dealt like cards, so that each comes up as often as any other.

    Parameters
    ----------
    faults
        Number of faults of a round.
    """
    chance = random.Random(seed)
    deck: list[str] = []
    planned = []
    for _ in range(rounds):
        hand = []
        for _ in range(faults(chance)):
            if not deck:
                deck = chance.sample(KINDS, len(KINDS))
            hand.append(Fault(deck.pop(), chance.uniform(0, SPAN_S), chance.uniform(*DOWN_S)))
        planned.append(sorted(hand, key=lambda fault: fault.after_s))
    return planned


def deploy(installation: Installation) -> str:
    """Deploy the hourly run; returns the deployment's id."""
    return installation.prefect.deploy("predict-batch", "flows/predict.py:predict_hourly", ROOT)


def play(
    installation: Installation, deployment: str, as_of: datetime, faults: list[Fault], chance: random.Random
) -> Round:
    """Disturb a run by some faults, run again, and look for every row."""
    parameters = {**RUN, "as_of": as_of.isoformat()}
    first = installation.prefect.start_run(deployment, parameters)
    wait_for(installation.runs, "the process of the run")
    last_kill = disturb(installation, faults, chance)
    second = installation.prefect.start_run(deployment, parameters)
    whole_at = wait_for_rows(installation, second, as_of)
    repeated = installation.prefect.wait(second, PATIENCE_S)
    disturbed = installation.prefect.state(first)
    installation.kill_runs()
    with connect(installation.database_url, autocommit=True) as connection:
        left = missing(connection, last_candle(as_of))
    return Round(as_of, faults, disturbed, repeated, left, whole_at - last_kill)


def disturb(installation: Installation, faults: list[Fault], chance: random.Random) -> float:
    """Kill and restart parts at their moments; returns the reading of `time.monotonic` of the last kill."""
    began = time.monotonic()
    kills: list[float] = []

    def kill_and_restart(fault: Fault) -> None:
        time.sleep(max(0.0, began + fault.after_s - time.monotonic()))
        restart = installation.kill(fault.kind, chance)
        killed_at = time.monotonic()
        kills.append(killed_at)
        time.sleep(fault.down_s)
        restart()
        fault.back_s = time.monotonic() - killed_at

    with ThreadPoolExecutor(max(1, len(faults))) as threads:
        list(threads.map(kill_and_restart, faults))
    return max(kills, default=began)


def wait_for_rows(installation: Installation, run: str, as_of: datetime) -> float:
    """Wait until every symbol has its row, or the run has ended; returns the time."""
    give_up = time.monotonic() + PATIENCE_S
    with connect(installation.database_url, autocommit=True) as connection:
        while missing(connection, last_candle(as_of)) and time.monotonic() < give_up:
            if installation.prefect.state(run)[0] in ENDED:
                break
            time.sleep(0.2)
    return time.monotonic()
