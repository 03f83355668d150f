"""Times upstream's torch predictor on the same card, with the same weights."""

import time
from typing import Any

import torch

from benchmarks.gpu.card import Card, job
from benchmarks.gpu.models import MAX_CONTEXT, checkpoint
from benchmarks.gpu.timings import LOOKBACK, PRED_LEN

PATHS = (1, 20)


def measure(card: Card) -> dict[str, Any]:
    """Seconds of a request by size and paths; the reason where upstream can't be run."""
    if not torch.cuda.is_available():
        return {"why": f"torch {torch.__version__} sees no GPU here"}
    try:
        import pandas as pd
        from model import kronos
    except ImportError as error:
        return {"why": f"upstream is not installed: {error}"}
    device = f"cuda:{card.device.index}"
    request = job(LOOKBACK, PRED_LEN)
    names = ["open", "high", "low", "close", "volume", "amount"]
    frame = pd.DataFrame(request.candles, columns=names)
    past, future = (pd.Series(pd.to_datetime(t)) for t in (request.timestamps, request.future_timestamps))
    rows = []
    for size in card.sizes:
        loaded = checkpoint(size)
        tokenizer = _with_weights(kronos.KronosTokenizer, loaded.tokenizer)
        model = _with_weights(kronos.Kronos, loaded.decoder)
        predictor = kronos.KronosPredictor(model, tokenizer, device=device, max_context=MAX_CONTEXT)
        for paths in PATHS:

            def run(length: int, predictor: Any = predictor, paths: int = paths) -> float:
                start = time.perf_counter()
                predictor.predict(
                    frame, past, future[:length], length, T=1.0, top_p=0.9, sample_count=paths, verbose=False
                )
                torch.cuda.synchronize()
                return time.perf_counter() - start

            run(2)  # the first call compiles and allocates
            rows.append({"size": size, "paths": paths, "seconds": run(PRED_LEN)})
    return {"rows": rows}


def _with_weights(upstream_class: Any, module: torch.nn.Module) -> Any:
    """Upstream's module with the configuration and the weights of this checkpoint, in eval mode."""
    copy = upstream_class(**vars(module.config))
    copy.load_state_dict(module.state_dict(), strict=False)
    return copy.eval()
