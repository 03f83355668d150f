"""Defines the sizes of a Kronos decoder and tokenizer, and reads them from `config.json` files."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from export.errors import CheckpointError


@dataclass(frozen=True)
class _Config:
    @classmethod
    def read(cls, file: Path) -> Self:
        """Read and check a `config.json`.

        Raises
        ------
        CheckpointError
            The file is absent or not a JSON object, or a field is missing or of another type.
        """
        try:
            raw = json.loads(file.read_text())
        except OSError as e:
            raise CheckpointError(f"cannot read {file}: {e.strerror}") from e
        except json.JSONDecodeError as e:
            raise CheckpointError(f"{file} is not JSON: {e}") from e
        if not isinstance(raw, dict):
            raise CheckpointError(f"{file} holds a {type(raw).__name__}, a JSON object is expected")
        return cls(**{f.name: _field(raw, f.name, f.type, file) for f in dataclasses.fields(cls)})

    def write(self, file: Path) -> None:
        """Write a `config.json` that `read` accepts."""
        file.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def _field(raw: dict[str, Any], name: str, kind: Any, file: Path) -> Any:
    """Return one field as the type of its annotation; an integer is accepted as a float."""
    if name not in raw:
        raise CheckpointError(f"{file} has no field {name!r}; its fields are {sorted(raw)}")
    value = raw[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {int: isinstance(value, int) and number, float: number, bool: isinstance(value, bool)}[kind]
    if not fits:
        raise CheckpointError(f"{file}: {name} is {value!r}, a value of type {kind.__name__} is expected")
    return kind(value)


def _check_heads(d_model: int, n_heads: int, part: str) -> None:
    if d_model % n_heads or d_model // n_heads % 2:
        raise CheckpointError(f"{part}: d_model {d_model} over n_heads {n_heads} must be an even integer")


@dataclass(frozen=True)
class DecoderConfig(_Config):
    """Sizes of the Kronos decoder, under the names of its published `config.json`."""

    s1_bits: int
    s2_bits: int
    n_layers: int
    d_model: int
    n_heads: int
    ff_dim: int
    ffn_dropout_p: float
    attn_dropout_p: float
    resid_dropout_p: float
    token_dropout_p: float
    learn_te: bool

    def __post_init__(self) -> None:
        if not self.learn_te:
            raise CheckpointError(
                "learn_te is false: checkpoints with fixed time embeddings are not supported, "
                "the published ones learn them"
            )
        _check_heads(self.d_model, self.n_heads, "decoder")
        if self.d_model % 32:
            raise CheckpointError(
                f"decoder: d_model {self.d_model} must be a multiple of 32 (4 heads in the dependency "
                "layer, each a multiple of 8 for the attention kernel)"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


@dataclass(frozen=True)
class TokenizerConfig(_Config):
    """Sizes of the Kronos tokenizer, under the names of its published `config.json`.

    As in upstream, `n_enc_layers` and `n_dec_layers` are one more than the blocks that are built.
    """

    d_in: int
    d_model: int
    n_heads: int
    ff_dim: int
    n_enc_layers: int
    n_dec_layers: int
    ffn_dropout_p: float
    attn_dropout_p: float
    resid_dropout_p: float
    s1_bits: int
    s2_bits: int
    beta: float
    gamma0: float
    gamma: float
    zeta: float
    group_size: int

    def __post_init__(self) -> None:
        _check_heads(self.d_model, self.n_heads, "tokenizer")
        if self.d_in != 6:
            raise CheckpointError(
                f"tokenizer: d_in is {self.d_in}; candles have 6 features (open, high, low, close, "
                "volume, amount)"
            )


def check_pair(decoder: DecoderConfig, tokenizer: TokenizerConfig) -> None:
    """Raise `CheckpointError` unless a decoder and a tokenizer have the same bits."""
    for field in ("s1_bits", "s2_bits"):
        in_decoder, in_tokenizer = getattr(decoder, field), getattr(tokenizer, field)
        if in_decoder != in_tokenizer:
            raise CheckpointError(
                f"the tokenizer does not fit the model: {field} is {in_tokenizer} in the tokenizer and "
                f"{in_decoder} in the model"
            )
