import logging
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import onnxruntime as ort
import pytest

from inference_server.engine import native_operators
from inference_server.engine.device import CpuDevice
from inference_server.engine.native_operators import instruction_set, library, load

CPUINFO = Path("/proc/cpuinfo")
LIBRARY = f"{native_operators.NAME}.abi3.so"


def compiles() -> bool:
    """Whether the compiler that setuptools would use, or g++ or c++, is there."""
    configured = os.environ.get("CXX") or sysconfig.get_config_var("CXX") or ""
    return any(shutil.which(name) for name in (*shlex.split(configured)[:1], "g++", "c++"))


@pytest.mark.skipif(sys.platform == "win32" or not compiles(), reason="there is no C++ compiler")
def test_an_installation_with_a_compiler_has_the_operators() -> None:
    assert library() is not None, (
        "there is a C++ compiler, and the package was installed without: make install"
    )
    assert instruction_set() in {"amx", "avx512_vnni", "avx512", "avx2", "portable"}
    assert CpuDevice(1).compiled_operators == instruction_set()


@pytest.mark.skipif(library() is None, reason="there is no compiled library")
@pytest.mark.skipif(not CPUINFO.is_file(), reason="this is not Linux")
def test_the_instruction_set_is_one_that_the_processor_has() -> None:
    flags = set(CPUINFO.read_text().split())
    avx512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
    amx = avx512 | {"avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"}
    needed = {
        "amx": amx,
        "avx512_vnni": avx512 | {"avx512_vnni"},
        "avx512": avx512,
        "avx2": {"avx2", "fma"},
    }
    assert needed.get(instruction_set() or "", set()) <= flags


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "are missing"), (b"", "can't be loaded"), (b"not a library", "can't be loaded")],
    ids=["no file", "an empty file", "a file of something else"],
)
def test_without_a_library_there_is_a_warning_and_no_error(
    content: bytes | None, message: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        (tmp_path / LIBRARY).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load(tmp_path) is None
    (record,) = caplog.records
    assert message in record.getMessage()


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_library_of_another_version_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It lacks a function, so its operators may be others, too."""
    (tmp_path / "other.c").write_text("int other(void) { return 0; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / LIBRARY, tmp_path / "other.c"], check=True)
    assert load(tmp_path) is None
    assert "kronos_instruction_set" in caplog.text


def test_the_server_works_without_a_library_and_warns_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native_operators, "FOLDER", tmp_path)
    library.cache_clear()
    try:
        for _ in range(2):
            native_operators.register(ort.SessionOptions())
            assert CpuDevice(1).compiled_operators is None
        assert [record.levelname for record in caplog.records] == ["WARNING"]
    finally:
        library.cache_clear()
