"""Stops everything that ``kronos up`` started on this machine; the data stays."""

import argparse
import sys

from flows.supervision.errors import UpError
from flows.supervision.folder import UpFolder
from flows.supervision.take_down import take_down
from sql.errors import DatabaseError


def main(arguments: list[str] | None = None, prog: str = "python -m flows.down") -> int:
    """Stop everything; the exit status is 0 if nothing is left running."""
    argparse.ArgumentParser(prog=prog, description=__doc__).parse_args(arguments)
    folder = UpFolder.here()
    if not folder.path.exists():
        print(f"nothing is running from {folder.path}")
        return 0
    try:
        with folder.locked():
            stopped = take_down(folder, lambda sentence: print(f"{sentence} …", flush=True))
    except (UpError, DatabaseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("everything is stopped" if stopped else f"nothing is running from {folder.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
