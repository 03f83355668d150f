"""Measures one part in this process and stores its figures: ``python -m benchmarks.performance PART``."""

import sys

from benchmarks.performance.parts import PARTS
from benchmarks.performance.results import store
from inference_server.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()  # as the server does
    (part,) = sys.argv[1:]
    store(part, PARTS[part]())
