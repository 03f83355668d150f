"""Invented figures of the performance benchmarks in two precisions, for the tests of what is made of them."""

from typing import Any

from benchmarks.performance import growth, operators
from benchmarks.performance.products import OPERATORS
from benchmarks.performance.results import Result

MACHINE = {
    "cpu": "A processor",
    "cores": 4,
    "instruction_sets": ["AVX2"],
    "compiled_operators": "amx",
    "memory_gib": 8.0,
    "python": "3.11.7",
    "onnxruntime": "1.31.1",
    "torch": "2.13.0",
    "prefect": "3.8.8",
    "date": "2026-11-26",
    "commit": "abc1234",
}
BOTH = ("fp32", "int8")


def request(precision: str, seconds: float, **case: Any) -> dict[str, Any]:
    timed = {"precision": precision, "engine": seconds, "upstream": 60.0, "complete": precision == "int8"}
    return {"size": "base", "lookback": 392, "pred_len": 120, "stride": 1, "paths": 1} | timed | case


def phase(what: str, precision: str, rows: int, seconds: float) -> dict[str, Any]:
    floors = {"memory_s": 0.01, "products_s": 0.02}
    return {"what": what, "precision": precision, "rows": rows, "seconds": seconds, **floors}


def profiled(precision: str) -> dict[str, Any]:
    shares = dict.fromkeys(operators.KINDS, 0.2)
    figures = {"seconds": 0.02, "shares": shares, "rest": {"Split": 0.15}, "operators": 400}
    return {"commit": "abc1234", "precision": precision, "phase": "step", "paths": 20, **figures}


CHANGE = {"percent": 0.12, "low": -0.05, "high": 0.31}
ACCURACY = {
    "precision": "int8",
    "data": "generated",
    "windows": {"crypto": 100, "fx": 200},
    "lookback": 256,
    "pred_len": 12,
    "paths": 100,
    **dict.fromkeys(("nll", "nll_s1", "nll_s2", "crps", "width"), CHANGE),
    "same_s1": 0.97,
    "same_s2": 0.96,
}
BATCH = {"size": "base", "symbols": 25, "paths": 20, "lookback": 392, "pred_len": 120, "source": "generated"}
ROWS: dict[str, list[dict[str, Any]]] = {
    "upstream-base": [request("fp32", 3.0), request("int8", 1.0)],
    "sliding-base": [request("fp32", 50.0, lookback=512), request("int8", 20.0, lookback=512)],
    "batch-base": [
        BATCH | {"precision": "fp32", "seconds": 180.0, "stored": 25, "server_gb": 1.7},
        BATCH | {"precision": "int8", "seconds": 60.0, "stored": 25, "server_gb": 0.9},
    ],
    "floors": [
        {"what": "rate", "rows": 1, **dict.fromkeys(OPERATORS, 2e10)},
        {"what": "bandwidth", "precision": "fp32", "bytes": 400e6, "bandwidth": 20e9},
        phase("step", "fp32", 20, 0.06),
        phase("step", "int8", 20, 0.03),
    ],
    "profile": [profiled(precision) for precision in BOTH],
    "memory": [
        {
            "precision": precision,
            "after": "256 × 120",
            "status": 200,
            "together": 77,
            "rss_mb": 1500.0,
            "peak_mb": 1600.0,
        }
        for precision in BOTH
    ],
    "accuracy": [ACCURACY],
    **{
        f"growth-{axis}": [
            {"value": value, "precision": precision, "seconds": float(value)}
            for value in (1, 2)
            for precision in BOTH
        ]
        for axis in growth.FIXED
    },
}
RESULTS = {part: Result(MACHINE, rows) for part, rows in ROWS.items()}
