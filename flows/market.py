"""``python -m flows.market --out DIR``: write the files of a generated market."""

import argparse
import sys
from pathlib import Path

from flows.generated.market import CHARACTERS, generate_market


def main(arguments: list[str] | None = None, prog: str = "python -m flows.market") -> int:
    """Write a generated market to a folder."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet files")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args(arguments)
    market = generate_market(seed=args.seed)
    market.write(args.out)
    print(f"wrote a generated market of {len(CHARACTERS)} symbols to {args.out} (no real prices)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
