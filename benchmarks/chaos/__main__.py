"""``python -m benchmarks.chaos [--rounds 20] [--seed N]``: kills parts during runs; writes FAULTS.md."""

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.chaos.installation import KINDS, Installation
from benchmarks.chaos.market import AS_OFS, SYMBOLS
from benchmarks.chaos.reader import Reader
from benchmarks.chaos.rounds import Round, deploy, plan, play
from benchmarks.machine import ROOT, this_machine
from export.bundle import Plan, export_bundle
from tests.helpers.bundles import random_checkpoint, random_events

MOST_FAULTS = 4
TITLE = "# Faults"


def tiny_bundle(folder: Path) -> Path:
    """A bundle of two layers with random weights and an EventEncoder."""
    checkpoint = random_checkpoint(folder / "checkpoint", "tiny", seed=1)
    events = random_events(checkpoint.decoder.config.d_model)
    export_bundle(Plan(checkpoint, 512, events=events, events_name="random"), folder / "bundle")
    return folder / "bundle"


def measure(rounds: int, seed: int) -> Iterator[str]:
    """Play some rounds; after each the page with the results so far."""
    chance = random.Random(seed)
    planned = plan(seed, rounds, lambda chance: chance.randint(1, MOST_FAULTS))
    with tempfile.TemporaryDirectory(prefix="kronos-chaos-bundle-") as name:
        bundle = tiny_bundle(Path(name))
        with Installation(bundle) as installation, Reader(installation.database_url) as reader:
            deployment = deploy(installation)
            undisturbed = play(installation, deployment, AS_OFS[-1], [], chance)
            played = []
            for as_of, faults in zip(AS_OFS, planned, strict=False):
                played.append(play(installation, deployment, as_of, faults, chance))
                print(row(len(played), played[-1]), flush=True)
                yield page(seed, undisturbed, played, reader)


def page(seed: int, undisturbed: Round, played: Sequence[Round], reader: Reader) -> str:
    """The results as Markdown."""
    expected = len(SYMBOLS) * len(played)
    found = expected - sum(len(each.missing) for each in played)
    lines = [
        TITLE,
        "",
        f"`python -m benchmarks.chaos --rounds {len(played)} --seed {seed}`: in each round a run of "
        f"{len(SYMBOLS)} symbols is ordered from a Prefect server and made by a worker, with two inference "
        "servers and a Postgres. Parts of it are killed with SIGKILL at random moments of the run, and "
        "started again after 0.2 to 2 s (a killed flow is not); then the same run is ordered once more. A "
        "reader looks at all rows all the time.",
        "",
        f"- Rows: {found} of {expected} stored, each once.",
        f"- The reader looked {reader.reads:,} times, and {reader.failed_reads:,} times found no database. "
        f"What it saw that no reader may see: {', '.join(reader.faults) or 'nothing'}.",
        f"- Longest time from the last kill of a round until every symbol had its row: "
        f"{max(each.whole_s for each in played):.0f} s. Without a fault, of two runs at once: "
        f"{undisturbed.whole_s:.0f} s after the first one's process began.",
        f"- The times depend on what else the machine runs: its load average was "
        f"{min(each.load for each in played):.0f} to {max(each.load for each in played):.0f}.",
        "",
        "| killed | times | longest time until it was ready again |",
        "|---|---|---|",
        *recovery(played),
        "",
        "| round | killed, at so many rows stored | disturbed run | second run | rows | "
        "all rows stored, after the last kill |",
        "|---|---|---|---|---|---|",
        *(row(number, each) for number, each in enumerate(played, start=1)),
        "",
        f"*{this_machine()}*",
        "",
    ]
    return "\n".join(lines)


def row(number: int, played: Round) -> str:
    """A round's row of the table."""
    kills = ", ".join(f"{fault.kind} at {fault.rows}" for fault in played.faults)
    rows = len(SYMBOLS) - len(played.missing)
    return (
        f"| {number} | {kills} | {played.disturbed.name} | {played.repeated.name} | {rows} | "
        f"{played.whole_s:.0f} s |"
    )


def recovery(played: Sequence[Round]) -> list[str]:
    """How often each kind was killed, and how long it was away at most."""
    times = defaultdict(list)
    for each in played:
        for fault in each.faults:
            times[fault.kind].append(fault.back_s)
    return [
        f"| {kind} | {len(times[kind])} | {'–' if kind == 'flow' else f'{max(times[kind]):.1f} s'} |"
        for kind in KINDS
        if times[kind]
    ]


def main() -> None:
    """Play the rounds and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, choices=range(1, len(AS_OFS)), default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    for text in measure(args.rounds, args.seed):
        (ROOT / "benchmarks" / "FAULTS.md").write_text(text)


if __name__ == "__main__":
    main()
