import pytest
import torch

from export.model.checkpoint import Checkpoint


@pytest.mark.parametrize(("past", "rows", "length"), [(0, 1, 5), (7, 1, 1), (30, 3, 20)])
def test_continuations_decode_as_whole_sequences_do(
    tiny_checkpoint: Checkpoint, past: int, rows: int, length: int
) -> None:
    tokenizer = tiny_checkpoint.tokenizer
    generator = torch.Generator().manual_seed(past)
    history = [torch.randint(1024, (1, past), generator=generator) for _ in range(2)]
    ahead = [torch.randint(1024, (rows, length), generator=generator) for _ in range(2)]
    with torch.no_grad():
        whole = tokenizer.decode(
            *(torch.cat([h.expand(rows, -1), a], 1) for h, a in zip(history, ahead, strict=True))
        )
        parts = tokenizer.decode_continuations(*history, *ahead)
    torch.testing.assert_close(parts, whole[:, past:], atol=1e-5, rtol=1e-5)


def test_encoding_is_causal(tiny_checkpoint: Checkpoint) -> None:
    candles = torch.randn(1, 50, 6, generator=torch.Generator().manual_seed(0))
    changed = candles.clone()
    changed[:, 30:] += 1
    with torch.no_grad():
        before, after = tiny_checkpoint.tokenizer.encode(candles), tiny_checkpoint.tokenizer.encode(changed)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a[:, :30], b[:, :30])
        assert not torch.equal(a[:, 30:], b[:, 30:])
