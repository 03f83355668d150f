"""Rounds of faults: a run is disturbed, then run again, and every row is looked for."""

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from benchmarks.chaos.installation import KINDS, PATIENCE_S, ROOT, Installation, wait_for
from benchmarks.chaos.market import LOOKBACK, SYMBOLS, last_candle
from benchmarks.chaos.prefect_api import ENDED, RunState
from benchmarks.chaos.reader import missing
from sql.connect import connect
from sql.errors import DatabaseError

LONGEST_DELAY_S: Final = 1.0
"""Longest time between the moment that a fault waits for and the kill."""

STALLED_S: Final = 4.0
"""Seconds without a new row after which a run that was disturbed is not waited for any longer."""

DOWN_S: Final = (0.2, 2.0)
"""Shortest and longest time until a killed part is started again."""

RUN: Final[dict[str, Any]] = {"timeframe": "1h", "pred_len": 48, "sample_count": 8, "lookback": LOOKBACK}


@dataclass
class Fault:
    """A part that is killed.

    Attributes
    ----------
    rows
        Rows that the run has stored when the part is killed, unless an earlier fault has stopped it; 0 for
        the beginning of its process. Such moments are spread over a run on a machine of any speed.
    delay_s
        Seconds from then to the kill.
    down_s
        Seconds until the part is started again.
    killed_at
        Reading of `time.monotonic`.
    back_s
        Seconds from the kill until it was ready again.
    """

    kind: str
    rows: int
    delay_s: float
    down_s: float
    killed_at: float = 0.0
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
    load
        Load average of the machine at the end of the round.
    """

    as_of: datetime
    faults: list[Fault]
    disturbed: RunState
    repeated: RunState
    missing: list[str]
    whole_s: float
    load: float


def plan(seed: int, rounds: int, faults: Callable[[random.Random], int]) -> list[list[Fault]]:
    """The faults of some rounds, each of another kind within a round.

    Kinds are dealt like cards, so that each comes up about as often as any other.

    Parameters
    ----------
    faults
        Number of faults of a round.
    """
    chance = random.Random(seed)
    deck: list[str] = []
    planned = []
    for _ in range(rounds):
        hand: dict[str, Fault] = {}
        for _ in range(faults(chance)):
            if set(deck) <= set(hand):
                deck += chance.sample(KINDS, len(KINDS))
            kind = next(kind for kind in deck if kind not in hand)
            deck.remove(kind)
            moment = chance.randrange(len(SYMBOLS)), chance.uniform(0, LONGEST_DELAY_S)
            hand[kind] = Fault(kind, *moment, chance.uniform(*DOWN_S))
        planned.append(sorted(hand.values(), key=lambda fault: fault.rows))
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
    last_kill = disturb(installation, as_of, faults, chance)
    second = installation.prefect.start_run(deployment, parameters)
    whole_at = wait_for_rows(installation, second, as_of)
    repeated = installation.prefect.wait(second, PATIENCE_S)
    disturbed = installation.prefect.state(first)
    installation.kill_runs()
    with connect(installation.database_url, autocommit=True) as connection:
        left = missing(connection, last_candle(as_of))
    return Round(as_of, faults, disturbed, repeated, left, whole_at - last_kill, os.getloadavg()[0])


def disturb(installation: Installation, as_of: datetime, faults: list[Fault], chance: random.Random) -> float:
    """Kill parts at their moments and start them again; returns the time of the last kill."""
    began = time.monotonic()

    def start_again(fault: Fault, restart: Callable[[], object]) -> None:
        time.sleep(fault.down_s)
        restart()
        fault.back_s = time.monotonic() - fault.killed_at

    with ThreadPoolExecutor(max(1, len(faults))) as threads:
        restarts: list[Future[None]] = []
        for fault in faults:
            wait_for_progress(installation, as_of, fault.rows, disturbed=bool(restarts))
            time.sleep(fault.delay_s)
            restart = installation.kill(fault.kind, chance)
            fault.killed_at = time.monotonic()
            restarts.append(threads.submit(start_again, fault, restart))
        for each in restarts:
            each.result()
    return max((fault.killed_at for fault in faults), default=began)


def wait_for_progress(installation: Installation, as_of: datetime, rows: int, *, disturbed: bool) -> None:
    """Wait until a run has stored so many rows, or stores none any more after a fault."""
    give_up = time.monotonic() + PATIENCE_S
    stored, changed_at = -1, time.monotonic()
    while stored < rows and time.monotonic() < give_up and installation.runs():
        try:
            with connect(installation.database_url, autocommit=True) as connection:
                now_stored = len(SYMBOLS) - len(missing(connection, last_candle(as_of)))
        except (DatabaseError, psycopg.Error):
            now_stored = stored  # it is down
        if now_stored != stored:
            stored, changed_at = now_stored, time.monotonic()
        if disturbed and time.monotonic() > changed_at + STALLED_S:
            return
        time.sleep(0.05)


def wait_for_rows(installation: Installation, run: str, as_of: datetime) -> float:
    """Wait until every symbol has its row, or the run has ended; returns the time."""
    give_up = time.monotonic() + PATIENCE_S
    with connect(installation.database_url, autocommit=True) as connection:
        while missing(connection, last_candle(as_of)) and time.monotonic() < give_up:
            if installation.prefect.state(run)[0] in ENDED:
                break
            time.sleep(0.2)
    return time.monotonic()
