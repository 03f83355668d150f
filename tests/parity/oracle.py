"""The upstream predictor as the oracle: the same weights, and draws that are given to its sampler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from export.checkpoint import Checkpoint
from inference_server.draws import path_draws
from inference_server.jobs import ForecastJob

kronos = pytest.importorskip("model.kronos", reason="the oracle kronos-model-arch is not installed")

COLUMNS = ["open", "high", "low", "close", "volume", "amount"]


def oracle_predictor(checkpoint: Checkpoint, max_context: int) -> Any:
    """Upstream's KronosPredictor with the weights of our checkpoint, on the CPU and in eval mode."""
    decoder, tokenizer = checkpoint.decoder, checkpoint.tokenizer
    theirs = kronos.Kronos(**vars(decoder.config))
    their_tokenizer = kronos.KronosTokenizer(**vars(tokenizer.config))
    for module, ours in ((theirs, decoder), (their_tokenizer, tokenizer)):
        missing, unexpected = module.load_state_dict(ours.state_dict(), strict=False)
        assert not unexpected
        assert all(name.startswith("tokenizer.bsq.") for name in missing)
    return kronos.KronosPredictor(
        theirs.eval(), their_tokenizer.eval(), device="cpu", max_context=max_context
    )


def oracle_paths(predictor: Any, job: ForecastJob, columns: int = 6) -> np.ndarray:
    """Sample paths (sample_count, pred_len, 6) of upstream's predictor for a job, one path at a time.

    Upstream averages the paths of a request; asked for one path with the draws of path k it gives path k.
    `columns` is 6, 5 (no amount) or 4 (prices only).
    """
    frame = pd.DataFrame({name: job.candles[:, i] for i, name in enumerate(COLUMNS[:columns])})
    past, future = (pd.Series(pd.to_datetime(t)) for t in (job.timestamps, job.future_timestamps))
    paths = []
    for k in range(job.sample_count):
        with given_draws(path_draws(job.seed, k, len(future))):
            out = predictor.predict(
                frame,
                past,
                future,
                len(future),
                T=job.temperature,
                top_k=job.top_k,
                top_p=job.top_p,
                sample_count=1,
                verbose=False,
            )
        paths.append(out[COLUMNS].to_numpy())
    return np.stack(paths)


@contextmanager
def given_draws(draws: np.ndarray) -> Iterator[None]:
    """Replace upstream's random choice by an inverse CDF of given uniforms; its filtering stays its own."""
    uniforms = iter(draws.reshape(-1))
    original: Callable[..., torch.Tensor] = kronos.sample_from_logits

    def sample(
        logits: torch.Tensor, temperature: float, top_k: int, top_p: float, sample_logits: bool
    ) -> torch.Tensor:
        assert sample_logits
        logits = logits / temperature
        # Falling probability, ties by index: the order that the inverse CDF walks.
        order = torch.sort(logits, descending=True, stable=True)[1]
        if top_k > 0 or top_p < 1.0:
            logits = kronos.top_k_top_p_filtering(logits.clone(), top_k=top_k, top_p=top_p)
        cdf = torch.cumsum(torch.softmax(logits, dim=-1).gather(-1, order), dim=-1)
        u = torch.tensor(next(uniforms)) * cdf[:, -1:]
        rank = torch.minimum(
            (cdf <= u).sum(-1, keepdim=True), torch.isfinite(logits).sum(-1, keepdim=True) - 1
        )
        return order.gather(-1, rank)

    kronos.sample_from_logits = sample
    try:
        yield
    finally:
        kronos.sample_from_logits = original
