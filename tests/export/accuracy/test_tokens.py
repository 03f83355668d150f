from pathlib import Path

import numpy as np
import pytest
import torch

from export.accuracy import tokens as measured
from export.accuracy.decoder_rows import DecoderSessions
from export.accuracy.tokens import encode_windows, token_figures
from export.accuracy.windows import Shape, choose_windows
from export.model.checkpoint import Checkpoint
from inference_server.engine.bundle import load_manifest
from market.normalise import normalise
from tests.helpers.candle_series import walk

WINDOWS = choose_windows([walk("BTC-USD", 60), walk("EURUSD", 60, seed=1)], Shape(32, 3), 5)


def test_the_figures_are_those_of_a_loop_over_torch(
    tiny_base_bundle: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "MOST_ROWS", 2)  # in parts, the last of which is smaller
    tokens = encode_windows(tiny_base_bundle, WINDOWS, None)
    found = token_figures(
        DecoderSessions.of(tiny_base_bundle), load_manifest(tiny_base_bundle).caches, tokens
    )
    decoder = tiny_checkpoint.decoder
    assert found.nll.shape == found.likeliest.shape == (5, 3, 2)
    with torch.no_grad():
        for row in range(5):
            s1, s2, stamp = (
                torch.from_numpy(values[row : row + 1]) for values in (tokens.s1, tokens.s2, tokens.stamp)
            )
            for step in range(3):
                seen, real = 32 + step, 32 + step
                hidden = decoder.hidden(s1[:, :seen], s2[:, :seen], stamp[:, :seen])
                logits = (
                    decoder.s1_logits(hidden[:, -1:])[0, 0],
                    decoder.s2_logits(hidden, s1[:, real : real + 1])[0, 0],
                )
                for head, values in enumerate((s1, s2)):
                    expected = -torch.log_softmax(logits[head], 0)[values[0, real]]
                    assert found.nll[row, step, head] == pytest.approx(float(expected), abs=1e-4)
                    assert found.likeliest[row, step, head] == int(logits[head].argmax())


def test_the_future_is_normalised_by_the_history(tiny_base_bundle: Path, tiny_checkpoint: Checkpoint) -> None:
    window = WINDOWS[0]
    tokens = encode_windows(tiny_base_bundle, [window], None)
    history = normalise(window.history)
    whole = np.concatenate([history.values, history.apply(window.candles[32:])])
    with torch.no_grad():
        expected = tiny_checkpoint.tokenizer.encode(torch.from_numpy(whole[None]))
    np.testing.assert_array_equal(tokens.s1, expected[0].numpy())
    np.testing.assert_array_equal(tokens.s2, expected[1].numpy())


@pytest.mark.parametrize(("clock", "hour"), [(None, 0), ("instrument", 0), ("UTC", 0), ("Asia/Shanghai", 8)])
def test_times_are_read_on_the_models_clock(tiny_base_bundle: Path, clock: str | None, hour: int) -> None:
    stamp = encode_windows(tiny_base_bundle, WINDOWS[:1], clock).stamp
    assert stamp[0, :2, 1].tolist() == [hour, hour + 1]
