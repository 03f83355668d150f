"""Upstream's torch predictor on the same card, with the same weights."""

import time
from typing import Any

import torch

from benchmarks.gpu.card import Card, job
from benchmarks.gpu.models import MAX_CONTEXT, checkpoint
from benchmarks.gpu.timings import LOOKBACK, PRED_LEN

PATHS = (1, 20)


def measure(card: Card) -> dict[str, Any]:
    """Seconds of a request by size and paths; the reason where it cannot be run."""
    if not torch.cuda.is_available():
        return {"why": f"torch {torch.__version__} sees no GPU here"}
    try:
        import pandas as pd
        from model import kronos
    except ImportError as error:
        return {"why": f"upstream is not installed: {error}"}
    where = f"cuda:{card.device.index}"
    given = job(LOOKBACK, PRED_LEN)
    names = ["open", "high", "low", "close", "volume", "amount"]
    frame = pd.DataFrame(given.candles, columns=names)
    past, future = (pd.Series(pd.to_datetime(t)) for t in (given.timestamps, given.future_timestamps))
    rows = []
    for size in card.sizes:
        loaded = checkpoint(size)
        modules = []
        for theirs, ours in ((kronos.Kronos, loaded.decoder), (kronos.KronosTokenizer, loaded.tokenizer)):
            module = theirs(**vars(ours.config))
            module.load_state_dict(ours.state_dict(), strict=False)
            modules.append(module.eval())
        predictor = kronos.KronosPredictor(*modules, device=where, max_context=MAX_CONTEXT)
        for paths in PATHS:

            def run(length: int, predictor: Any = predictor, paths: int = paths) -> float:
                begun = time.perf_counter()
                predictor.predict(
                    frame, past, future[:length], length, T=1.0, top_p=0.9, sample_count=paths, verbose=False
                )
                torch.cuda.synchronize()
                return time.perf_counter() - begun

            run(2)  # what is new at the first time
            rows.append({"size": size, "paths": paths, "seconds": run(PRED_LEN)})
    return {"rows": rows}
