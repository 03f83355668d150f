"""Compiles the server's own operators for ONNX Runtime; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import Extension, setup

FOLDER = "inference_server/native"
SOURCES = ("kernels", "matrix_unit", "operators", "vector_products", "weight_products")
OPERATORS = Extension(
    "inference_server.engine._operators",
    sources=[f"{FOLDER}/{name}.cc" for name in SOURCES],
    depends=[str(file) for file in Path(FOLDER).glob("*.h")],
    language="c++",
    # No arithmetic is reordered. errno and floating-point exceptions, which nothing reads, are not kept.
    extra_compile_args=[
        "-std=c++17",
        "-O3",
        "-fvisibility=hidden",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-g0",
        "-Wno-psabi",
    ],
    py_limited_api=True,
    # Where there is no compiler the package is installed without them, and the server says so.
    optional=True,
)

if sys.platform == "win32":
    setup()
else:
    # The library uses nothing of Python, so one wheel serves every version from the oldest on.
    setup(ext_modules=[OPERATORS], options={"bdist_wheel": {"py_limited_api": "cp311"}})
