"""Compares a card's logits with torch's and the CPU's, and its tokens between runs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from benchmarks.gpu.card import Card, job
from benchmarks.gpu.models import bundle, checkpoint
from export.model.decoder import KronosDecoder
from inference_server.engine.batching import Batching
from inference_server.engine.bundle import DECODER_FILE, ENCODE_FILE, load_manifest
from inference_server.engine.device import CpuDevice
from inference_server.engine.devices import gpu
from inference_server.engine.engine import Engine
from inference_server.engine.sequence import SequenceGroup
from market.normalise import normalise
from market.types import Float32Array, Int64Array

PREFILL, STEPS, ROWS = 128, 20, 2
NEIGHBOURS = (1, 19, 199)
PRED_LEN = 120


def logits(card: Card) -> list[dict[str, Any]]:
    """Largest logit differences over a prefill and forced steps, and tokens of the tokenizer that differ."""
    rows = []
    eager = gpu(card.device.index, cuda_graphs=False)
    for size in card.sizes:
        folder, decoder = bundle(size), checkpoint(size).decoder
        reference = _torch_logits(decoder)
        on_card, on_cpu = (
            _logits(device.session(folder / DECODER_FILE), folder, decoder) for device in (eager, CpuDevice())
        )
        candles = normalise(job(400, 1).candles).values[None]
        tokens = [
            np.array(device.session(folder / ENCODE_FILE).run(["s1", "s2"], {"candles": candles}))
            for device in (eager, CpuDevice())
        ]
        rows.append(
            {
                "size": size,
                "card, of torch float32": _difference(on_card, reference),
                "CPU in half precision, of torch float32": _difference(on_cpu, reference),
                "card, of CPU in half precision": _difference(on_card, on_cpu),
                "tokenizer's tokens that differ from the CPU's": int((tokens[0] != tokens[1]).sum()),
                "largest logit": float(np.abs(reference).max()),
            }
        )
    return rows


def _sequence(decoder: KronosDecoder) -> tuple[Int64Array, Int64Array, Int64Array]:
    random, shape = np.random.default_rng(3), (ROWS, PREFILL + STEPS)
    s1, s2 = (random.integers(0, 2**bits, shape) for bits in (decoder.config.s1_bits, decoder.config.s2_bits))
    hours = np.arange(shape[1])
    stamp = np.stack([hours * 0, hours % 24, hours // 24 % 7, 1 + hours // 24, hours * 0 + 6], axis=-1)
    return s1, s2, np.broadcast_to(stamp, (ROWS, *stamp.shape)).copy()


def _torch_logits(decoder: KronosDecoder) -> Float32Array:
    """Logits of s1 after the prefill and after each step, (1 + STEPS, ROWS, V)."""
    s1, s2, stamp = (torch.from_numpy(t) for t in _sequence(decoder))
    with torch.no_grad():
        hidden = decoder.hidden(s1, s2, stamp)
        result: Float32Array = decoder.s1_logits(hidden)[:, PREFILL - 1 :].numpy()
    return result.swapaxes(0, 1)


def _logits(session: ort.InferenceSession, folder: Path, decoder: KronosDecoder) -> Float32Array:
    """The same logits from a session, with the same tokens fed in place of those that it samples."""
    s1, s2, stamp = _sequence(decoder)
    manifest = load_manifest(folder)
    with torch.no_grad():
        time = decoder.time_emb(torch.from_numpy(stamp)).numpy().astype(np.float16)
    length, width = time.shape[1:]
    past = {
        f"past_{kind}.{i}": np.zeros((ROWS, c.heads, length, c.head_dim), np.float16)
        for i, c in enumerate(manifest.caches)
        for kind in ("key", "value")
    }
    names = ["s1_logits", *(name.replace("past", "present") for name in past)]
    logits_of_steps = []
    for stop in range(PREFILL, length + 1):
        start = 0 if stop == PREFILL else stop - 1
        feeds = {
            "s1": s1[:, start:stop],
            "s2": s2[:, start:stop],
            "position": np.arange(ROWS)[:, None] * length + np.arange(start, stop),
            "conditioning": time.reshape(-1, width),
            "last_index": np.full((ROWS, 1), stop - start - 1),
            "seqlens_k": np.full(ROWS, stop - 1, np.int32),
            "total_sequence_length": np.array([stop], np.int32),
            "uniform": np.zeros((ROWS, 2), np.float32),
            "temperature": np.ones((ROWS, 1), np.float32),
            "top_k": np.ones((ROWS, 1), np.int64),
            "top_p": np.ones((ROWS, 1), np.float32),
        }
        row, *presents = session.run(names, feeds | past)
        past = dict(zip(past, presents, strict=True))
        logits_of_steps.append(row)
    return np.stack(logits_of_steps)


def _difference(logits: Float32Array, reference: Float32Array) -> float:
    """The largest difference relative to the largest logit; NaN if there is any NaN."""
    return float(np.abs(logits - reference).max() / max(1.0, np.abs(reference).max()))


def seeds(card: Card) -> list[dict[str, Any]]:
    """Share of equal tokens of a seeded job that is run again, without CUDA graphs, and among other rows."""
    rows = []
    for size in card.sizes:
        engine, plain = card.engine(size), card.engine(size, cuda_graphs=False)
        alone = _tokens(engine, 0)
        compared = {
            "again": _tokens(engine, 0),
            "without CUDA graphs": _tokens(plain, 0),
        } | {f"among {n} others": _tokens(engine, n) for n in NEIGHBOURS}
        rows.append(
            {"size": size} | {name: float((alone == other).mean()) for name, other in compared.items()}
        )
    return rows


def _tokens(engine: Engine, others: int) -> Int64Array:
    """Tokens of a seeded job that runs beside others, (2, 4 paths, PRED_LEN)."""
    batching = Batching(engine)
    group = batching.add(job(300, PRED_LEN, sample_count=4, seed=7))
    for walk in range(1, others + 1):
        batching.add(job(100 + walk, PRED_LEN, walk, seed=walk))
    finished: list[SequenceGroup] = []
    while group not in finished:
        finished += batching.step()
    return np.stack([group.s1, group.s2])
