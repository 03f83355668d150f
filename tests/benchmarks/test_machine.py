"""A measurement names the processor's instruction sets."""

import pytest

from benchmarks.machine import facts, in_words, instruction_sets

INTEL = "model name\t: A Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd i8mm\n"


@pytest.mark.parametrize(
    ("cpuinfo", "names"),
    [
        (INTEL, ["AVX2", "AVX-512", "AVX-512 VNNI", "AMX int8"]),
        (ARM, ["NEON", "i8mm"]),
        ("model name\t: avx2\n", []),
    ],
)
def test_the_sets_are_those_of_the_first_processor(cpuinfo: str, names: list[str]) -> None:
    assert instruction_sets(cpuinfo) == names


def test_the_line_has_every_fact() -> None:
    machine = facts()
    line = in_words(machine)
    for name in ("cpu", "cores", "compiled_operators", "onnxruntime", "date", "commit"):
        assert str(machine[name]) in line


def test_a_measurement_of_before_has_a_line_too() -> None:
    machine = facts()
    del machine["compiled_operators"]
    assert "compiled operators" not in in_words(machine)
