"""The upstream predictor as the oracle: the same weights, and draws that are given to its sampler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from export.model.checkpoint import Checkpoint
from inference_server.engine.draws import path_draws
from inference_server.engine.jobs import ForecastJob

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


Tokens = tuple[np.ndarray, np.ndarray]


def oracle_paths(
    predictor: Any, job: ForecastJob, columns: int = 6, guess: list[Tokens] | None = None
) -> np.ndarray:
    """Sample paths (sample_count, pred_len, 6) of upstream's predictor for a job, one path at a time.

    Upstream averages the paths of a request; asked for one path with the draws of path k it gives path k.

    Parameters
    ----------
    columns
        6, 5 (no amount) or 4 (prices only).
    guess
        For each path its history's and its generated tokens, s1 and s2, (1, T + pred_len); see `guessing`.
    """
    frame = pd.DataFrame({name: job.candles[:, i] for i, name in enumerate(COLUMNS[:columns])})
    past, future = (pd.Series(pd.to_datetime(t)) for t in (job.timestamps, job.future_timestamps))
    paths = []
    for k in range(job.sample_count):
        guessed = guessing(predictor, *guess[k]) if guess is not None else nullcontext()
        with guessed, given_draws(path_draws(job.seed, k, len(future))):
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
def guessing(predictor: Any, s1: np.ndarray, s2: np.ndarray) -> Iterator[None]:
    """Let upstream's transformer run once over a guessed sequence, as speculative decoding does.

    Its blocks are causal, so its states of the first n tokens are those of a window of n tokens. A step
    whose window is not what was guessed is computed as ever, so a wrong guess costs time and no result;
    sampling, the dependency layer, the final decode and de-normalisation stay upstream's, step by step.
    """
    model, given = predictor.model, (torch.from_numpy(s1), torch.from_numpy(s2))
    original = model.decode_s1
    states: list[tuple[torch.Tensor, torch.Tensor]] = []
    full_stamp, inference = torch.empty(0), kronos.auto_regressive_inference

    def decode_s1(a: torch.Tensor, b: torch.Tensor, stamp: torch.Tensor) -> Any:
        n = a.shape[1]
        if not (torch.equal(a, given[0][:, :n]) and torch.equal(b, given[1][:, :n])):
            return original(a, b, stamp)
        if not states:
            states.append(original(*given, full_stamp))
        logits, context = states[0]
        return logits[:, :n], context[:, :n]

    def infer(*arguments: Any, **settings: Any) -> Any:
        nonlocal full_stamp
        full_stamp = torch.cat(arguments[3:5], dim=1)
        return inference(*arguments, **settings)

    model.decode_s1, kronos.auto_regressive_inference = decode_s1, infer
    try:
        yield
    finally:
        del model.decode_s1
        kronos.auto_regressive_inference = inference


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
