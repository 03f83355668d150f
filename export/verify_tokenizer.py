"""Compare the exported tokenizer with torch: the tokens of candles, and the candles of tokens."""

from pathlib import Path

import numpy as np
import torch

from export.errors import ParityError
from export.model.tokenizer import KronosTokenizer
from export.parity import cpu_session
from inference_server.engine.bundle import DECODE_FILE, ENCODE_FILE

CANDLE_TOLERANCE = 1e-4
# A bit whose quantiser input is this near zero may fall differently in two runtimes.
NEAR_ZERO = 1e-5


def verify_tokenizer(folder: Path, tokenizer: KronosTokenizer, max_context: int) -> dict[str, float]:
    """Return the number of token mismatches (bits near zero aside) and the largest difference of a candle.

    Raises
    ------
    ParityError
        A token differs, or a candle differs by more than the tolerance, or a value is NaN.
    """
    generator = torch.Generator().manual_seed(1)
    length = max(200, max_context)
    past = length * 3 // 4
    walk = torch.randn(2, length, 6, generator=generator).cumsum(1)
    candles = ((walk - walk.mean(1, keepdim=True)) / walk.std(1, keepdim=True)).clamp(-5, 5)
    encode, decode = cpu_session(folder / ENCODE_FILE), cpu_session(folder / DECODE_FILE)
    with torch.no_grad():
        expected = tokenizer.encode(candles)
        quantised = tokenizer.quantiser_input(candles)
        # A NaN is never near zero, so its tokens are compared; NaN itself is refused below.
        certain = ~(quantised.abs() <= NEAR_ZERO).any(-1)
        s1, s2 = (torch.from_numpy(t) for t in encode.run(["s1", "s2"], {"candles": candles.numpy()}))
        wrong = ((s1 != expected[0]) | (s2 != expected[1])) & certain
        whole = tokenizer.decode(s1, s2)[:, past:].numpy()
    (decoded,) = decode.run(
        ["candles"],
        {
            "past_s1": s1[:1, :past].numpy(),
            "past_s2": s2[:1, :past].numpy(),
            "s1": s1[:1, past:].numpy(),
            "s2": s2[:1, past:].numpy(),
        },
    )
    figures = {
        "tokenizer_mismatches": float(wrong.sum()),
        "tokenizer_decode": float(np.abs(decoded - whole[:1]).max()),
    }
    if not bool(torch.isfinite(quantised).all()):
        raise ParityError(
            "the tokenizer makes ordinary candles into something that is no number, so its tokens mean "
            "nothing; is the checkpoint whole? No bundle was written"
        )
    if figures["tokenizer_mismatches"] or not figures["tokenizer_decode"] <= CANDLE_TOLERANCE:
        raise ParityError(f"the exported tokenizer differs from torch: {figures}; no bundle was written")
    return figures
