"""Compiles the server's own operators for ONNX Runtime; everything else is in pyproject.toml."""

import sys

from setuptools import Extension, setup

OPERATORS = Extension(
    "inference_server.engine._operators",
    sources=["inference_server/native/kernels.cc", "inference_server/native/operators.cc"],
    depends=[
        f"inference_server/native/{name}.h"
        for name in ("attention", "heads", "kernels", "onnxruntime_abi", "sampling", "table", "vectors")
    ],
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
