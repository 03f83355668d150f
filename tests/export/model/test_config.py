import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from export.errors import CheckpointError
from export.model.config import DecoderConfig, TokenizerConfig, check_pair
from export.model.sizes import SIZES

TINY = SIZES["tiny"]


@pytest.mark.parametrize("size", SIZES)
def test_configs_survive_the_way_through_a_file(size: str, tmp_path: Path) -> None:
    for config in (SIZES[size].decoder, SIZES[size].tokenizer):
        config.write(tmp_path / "config.json")
        assert type(config).read(tmp_path / "config.json") == config


def test_fields_that_upstream_may_add_are_no_obstacle(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(asdict(TINY.decoder) | {"architectures": ["Kronos"]}))
    assert DecoderConfig.read(file) == TINY.decoder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": None}, "n_layers is None, a value of type int"),
        ({"n_layers": True}, "n_layers is True"),
        ({"n_layers": 2.5}, "n_layers is 2.5"),
        ({"ffn_dropout_p": "0"}, "ffn_dropout_p is '0', a value of type float"),
        ({"learn_te": 1}, "learn_te is 1, a value of type bool"),
        ({"learn_te": False}, "fixed time embeddings are not supported"),
        ({"n_heads": 5}, "must be an even integer"),
        ({"d_model": 72, "n_heads": 2}, "d_model 72 must be a multiple of 32"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(asdict(TINY.decoder) | change))
    with pytest.raises(CheckpointError, match=message):
        DecoderConfig.read(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[]", "a JSON object is expected"),
        ("{}", "no field 's1_bits'"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "config.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CheckpointError, match=message):
        DecoderConfig.read(file)


def test_a_tokenizer_of_other_features_is_refused() -> None:
    with pytest.raises(CheckpointError, match="d_in is 5"):
        replace(TINY.tokenizer, d_in=5)


def test_a_tokenizer_of_other_bits_is_refused() -> None:
    other: TokenizerConfig = replace(TINY.tokenizer, s2_bits=9)
    with pytest.raises(CheckpointError, match="s2_bits is 9 in the tokenizer and 10 in the model"):
        check_pair(TINY.decoder, other)
