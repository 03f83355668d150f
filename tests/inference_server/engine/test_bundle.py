import json
import shutil
from pathlib import Path

import pytest

from inference_server.engine.bundle import BundleError, content_version, load_manifest


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_whole_bundle_is_accepted_and_its_version_is_its_content(tiny_bundle: Path) -> None:
    manifest = load_manifest(tiny_bundle)
    assert manifest.version == content_version(manifest.files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": 1},
            "has format 1, this server reads format 4: export it again: python -m export --model",
        ),
        ({"event_schema": 2}, "was trained on event schema 2"),
        ({"event_channels": ["a"]}, "was trained on event schema"),
        ({"event_alignment": "later"}, "is no manifest of this server's"),
        ({"files": {}}, "does not list"),
        ({"max_context": "long"}, "is no manifest of this server's"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(
    changes: dict[str, object], message: str, copy: Path
) -> None:
    edit(copy, **changes)
    with pytest.raises(BundleError, match=message):
        load_manifest(copy)


def test_a_bundle_of_before_says_nothing_of_its_clock_and_loads(copy: Path) -> None:
    file = copy / "manifest.json"
    manifest = json.loads(file.read_text())
    assert manifest.pop("model_clock") is None  # random weights: nothing was trained
    file.write_text(json.dumps(manifest))
    assert load_manifest(copy).model_clock is None
    edit(copy, model_clock="Asia/Shanghai")
    assert load_manifest(copy).model_clock == "Asia/Shanghai"


def test_an_absent_bundle_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="make one with python -m export"):
        load_manifest(tmp_path)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "decoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks decoder\.onnx"):
        load_manifest(copy)


def test_one_altered_byte_is_found(copy: Path) -> None:
    file = copy / "decoder.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    load_manifest(copy, verify=False)
    with pytest.raises(BundleError, match=r"decoder\.onnx in the bundle"):
        load_manifest(copy)
