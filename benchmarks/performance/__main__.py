"""Measures one part in this process and stores its figures: ``python -m benchmarks.performance PART``."""

import sys

from benchmarks.performance.parts import PARTS
from benchmarks.performance.results import store

if __name__ == "__main__":
    (part,) = sys.argv[1:]
    store(part, PARTS[part]())
