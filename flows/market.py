"""``python -m flows.market --out DIR``: write the files of a generated market."""

import argparse
from pathlib import Path

from flows.generated.market import CHARACTERS, generate_market


def main() -> None:
    """Write a generated market to a folder."""
    parser = argparse.ArgumentParser(prog="python -m flows.market", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet files")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    market = generate_market(seed=arguments.seed)
    market.write(arguments.out)
    print(f"wrote a generated market of {len(CHARACTERS)} symbols to {arguments.out} (no real prices)")


if __name__ == "__main__":
    main()
