"""``python -m export.train``: the old name of ``python -m training``, kept for one release."""

import sys

from training.__main__ import main

if __name__ == "__main__":
    print(
        "python -m export.train is now python -m training; the old name goes with the next release",
        file=sys.stderr,
    )
    sys.exit(main())
