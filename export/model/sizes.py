"""Lists the published sizes, the size of the packaged demo model, and a tiny one for tests."""

from dataclasses import dataclass, replace

from export.model.config import DecoderConfig, TokenizerConfig


@dataclass(frozen=True)
class Size:
    """A decoder, the tokenizer it was published with, and the context it was trained on."""

    decoder: DecoderConfig
    tokenizer: TokenizerConfig
    max_context: int


def _decoder(n_layers: int, d_model: int, n_heads: int, ff_dim: int) -> DecoderConfig:
    return DecoderConfig(
        s1_bits=10,
        s2_bits=10,
        n_layers=n_layers,
        d_model=d_model,
        n_heads=n_heads,
        ff_dim=ff_dim,
        ffn_dropout_p=0.0,
        attn_dropout_p=0.0,
        resid_dropout_p=0.0,
        token_dropout_p=0.0,
        learn_te=True,
    )


def _tokenizer(group_size: int, d_model: int = 256, ff_dim: int = 512, layers: int = 4) -> TokenizerConfig:
    return TokenizerConfig(
        d_in=6,
        d_model=d_model,
        n_heads=4,
        ff_dim=ff_dim,
        n_enc_layers=layers,
        n_dec_layers=layers,
        ffn_dropout_p=0.0,
        attn_dropout_p=0.0,
        resid_dropout_p=0.0,
        s1_bits=10,
        s2_bits=10,
        beta=0.05,
        gamma0=1.0,
        gamma=1.1,
        zeta=0.05,
        group_size=group_size,
    )


# Small enough to be trained on two cores in an hour and to be packaged. Its tokens have fewer bits than the
# published ones: a vocabulary of 1,024 × 1,024 has more pairs than its training data has candles.
_DEMO_DECODER = replace(
    _decoder(4, 128, 2, 384),
    s1_bits=9,
    s2_bits=9,
    ffn_dropout_p=0.05,
    resid_dropout_p=0.05,
)
_DEMO_TOKENIZER = replace(
    _tokenizer(9, d_model=64, ff_dim=128, layers=3), n_dec_layers=4, n_heads=2, s1_bits=9, s2_bits=9
)

SIZES = {
    "demo": Size(_DEMO_DECODER, _DEMO_TOKENIZER, 512),
    "tiny": Size(_decoder(2, 64, 2, 128), _tokenizer(4, d_model=32, ff_dim=64, layers=2), 512),
    "mini": Size(_decoder(4, 256, 4, 512), _tokenizer(5), 2048),
    "small": Size(_decoder(8, 512, 8, 1024), _tokenizer(4), 512),
    "base": Size(_decoder(12, 832, 16, 2048), _tokenizer(4), 512),
}
