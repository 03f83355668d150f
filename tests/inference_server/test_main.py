"""`python -m inference_server` as a process: serving, signals, and what it says where it cannot serve."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flows.runtime.local_server import free_port
from inference_server.client import Client, ServerUnavailable
from inference_server.schemas import Candles, PredictRequest
from tests.helpers.cuda import CudaStub
from tests.helpers.serving import PATIENCE_S, candles

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(folder: Path, **environment: object) -> Iterator[subprocess.Popen[str]]:
    """The server as a process of its own; killed if the test leaves it running."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("KRONOS_", "DATABASE_"))
    }
    given = {
        "KRONOS_DATA_DIR": folder / "no-database",
        "KRONOS_THREADS": 1,
        "PYTHONPATH": ROOT,
        **environment,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "inference_server"],
        cwd=folder,
        env={**inherited, **{name: str(value) for name, value in given.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield server
    finally:
        server.kill()
        server.wait()
        for stream in (server.stdout, server.stderr):
            assert stream is not None
            stream.close()


def test_it_serves_until_it_is_told_to_end(tiny_bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    key = "key-that-nobody-may-see"
    with process(tmp_path, KRONOS_BUNDLE=tiny_bundle, KRONOS_PORT=port, KRONOS_API_KEYS=key) as server:
        with Client(f"http://127.0.0.1:{port}", request_id="run-7", api_key=key) as client:
            wait_until_ready(client, server)
            info = client.model()
            asked = PredictRequest(symbol="BTC-USD", timeframe="1h", pred_len=4, candles=Candles(**candles()))
            answer = client.predict(asked, events=np.zeros((40, 20)))
        assert (answer.model.version, answer.events_used, len(answer.p50)) == (info.version, True, 4)
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=PATIENCE_S)
        assert server.returncode == 0
    assert f"serving {info.name} {info.version} (fp32 on CPU) at http://127.0.0.1:{port}" in log
    assert "Traceback" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    requests = [(one["path"], one["outcome"]) for one in lines if one.get("request_id") == "run-7"]
    assert requests == [("/model", "200"), ("/predict", "200")]
    assert key not in log
    assert str(candles()["close"][0]) not in log


def wait_until_ready(client: Client, server: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not client.ready():
        assert server.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_a_gpu_is_told_of_and_its_loss_ends_the_process(
    half_bundle: Path, cuda_stub: CudaStub, tmp_path: Path
) -> None:
    """The card is a stand-in that is lost once a file is there."""
    port, lost = free_port(), tmp_path / "lost"
    environment = {
        "KRONOS_BUNDLE": half_bundle,
        "KRONOS_PORT": port,
        "KRONOS_DEVICE": "cuda",
        "KRONOS_CACHE_BYTES": 1 << 26,
        "LD_LIBRARY_PATH": cuda_stub.environment()["LD_LIBRARY_PATH"],
        "STUB_LOSE_FILE": lost,
    }
    asked = PredictRequest(symbol="BTC-USD", timeframe="1h", pred_len=4, candles=Candles(**candles()))
    with process(tmp_path, **environment) as server, Client(f"http://127.0.0.1:{port}") as client:
        wait_until_ready(client, server)
        device = client.model().device
        assert device is not None
        assert (device.kind, device.name, device.fallback) == ("cuda", "Stub H100", False)
        assert len(client.predict(asked).p50) == 4
        lost.touch()
        with pytest.raises(ServerUnavailable) as refused:
            client.predict(asked)
        assert refused.value.status == 503
        _, log = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 1
    assert "an illegal memory access was encountered" in log


def test_without_the_gpu_that_was_asked_for_there_is_no_server(
    half_bundle: Path, cuda_stub: CudaStub, tmp_path: Path
) -> None:
    environment = {"LD_LIBRARY_PATH": cuda_stub.environment()["LD_LIBRARY_PATH"], "STUB_CARDS": 0}
    with process(
        tmp_path, KRONOS_BUNDLE=half_bundle, KRONOS_PORT=0, KRONOS_DEVICE="cuda", **environment
    ) as server:
        _, log = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 1
    assert "KRONOS_DEVICE asks for a GPU, and none can be used" in log
    assert "no CUDA-capable device is detected" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "KRONOS_BUNDLE is not set"),
        ({"KRONOS_BUNDLE": "nowhere"}, "no bundle in nowhere"),
        ({"KRONOS_BUNDLE": "x", "KRONOS_PORT": "http"}, "KRONOS_PORT is 'http'"),
        ({"KRONOS_BUNDLE": "x", "KRONOS_HOST": "0.0.0.0"}, "there are no API keys: set KRONOS_API_KEYS"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_an_exit_code(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    with process(tmp_path, **environment) as server:
        _, log = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 2
    assert message in log
    assert len(log.splitlines()) == 1


def test_a_bundle_that_was_altered_ends_the_server(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tiny_bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    first = next(iter(json.loads((copy / "manifest.json").read_text())["files"]))
    content = bytearray((copy / first).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / first).write_bytes(content)
    with process(tmp_path, KRONOS_BUNDLE=copy, KRONOS_PORT=0) as server:
        _, log = server.communicate(timeout=PATIENCE_S)
    assert server.returncode == 1
    assert f"{first} in the bundle" in log


def test_the_server_needs_neither_torch_nor_prefect_nor_polars() -> None:
    check = (
        "import sys, inference_server.app, inference_server.client; "
        "print({'torch', 'prefect', 'polars', 'export', 'flows'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
