"""A tiny checkpoint with random weights, in the published layout: for demonstrations where none can be had.

``python -m flows.demo_checkpoint DIR`` writes ``model/``, ``tokenizer/`` and ``events.safetensors``. It is a
process of its own, so that the memory of torch is gone before the forecasts begin.
"""

import argparse
from pathlib import Path

from export.checkpoint import randomise, save_checkpoint
from export.decoder import KronosDecoder
from export.events import EventEncoder, save_events
from export.sizes import SIZES
from export.tokenizer import KronosTokenizer

SIZE = "tiny"
SEED = 1


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m flows.demo_checkpoint", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    decoder, tokenizer = KronosDecoder(SIZES[SIZE].decoder), KronosTokenizer(SIZES[SIZE].tokenizer)
    encoder = EventEncoder(SIZES[SIZE].decoder.d_model)
    for seed, module in enumerate((decoder, tokenizer, encoder), start=SEED):
        randomise(module, seed)
    save_checkpoint(decoder, folder / "model")
    save_checkpoint(tokenizer, folder / "tokenizer")
    save_events(encoder, "next", folder / "events.safetensors")


if __name__ == "__main__":
    main()
