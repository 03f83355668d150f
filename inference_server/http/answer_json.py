"""Encodes answers as JSON in pieces of about a millisecond, between which other threads may run.

Encoding an answer is one call during which no other thread runs, 35 ms for all features of 256 paths × 512
candles, and the lists of Python numbers that it needs take eight times the memory of the array. Samples
therefore remain an array until their piece is encoded.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeVar, cast

import msgspec
import numpy as np
from litestar import MediaType, Response
from litestar.response import Stream
from numpy.typing import NDArray

from inference_server.forecast.large_work import let_others_run
from inference_server.schemas import BatchItem, PredictAnswer, PredictBatchAnswer

T = TypeVar("T")

PIECE_VALUES = 4096
_SENT_BYTES = 2**18  # large enough for little overhead, small enough that a slow reader delays the sender
# Quotes inside JSON strings are escaped, so that these cannot occur in one.
_NO_SAMPLES, _NO_RESULTS = b',"samples":null', b'"results":[]'


def answer_pieces(answer: PredictAnswer) -> Iterator[bytes]:
    """Yield the JSON of an answer whose `samples` are an array, (paths, pred_len) or (paths, pred_len, 6)."""
    samples = cast("NDArray[np.float64] | None", answer.samples)
    yield from _spliced(msgspec.json.encode(msgspec.structs.replace(answer, samples=None)), samples)


def batch_pieces(answer: PredictBatchAnswer) -> Iterator[bytes]:
    """Yield the JSON of a batch's answer, whose results are as in `answer_pieces`."""
    before, _, after = msgspec.json.encode(msgspec.structs.replace(answer, results=[])).partition(_NO_RESULTS)
    yield before + b'"results":['
    for number, item in enumerate(answer.results):
        yield b"," * (number > 0)
        yield from _item_pieces(item)
    yield b"]" + after


def joined(pieces: Iterator[bytes]) -> list[bytes]:
    """Return pieces joined to parts of the size in which they are sent."""
    parts, part, size = [], list[bytes](), 0
    for piece in pieces:
        part.append(piece)
        let_others_run()
        size += len(piece)
        if size >= _SENT_BYTES:
            parts.append(b"".join(part))
            part, size = [], 0
    return [*parts, b"".join(part)]


def json_response(kind: type[T], parts: Sequence[bytes], headers: dict[str, str]) -> Response[T]:
    """Return a response that streams the JSON of a `kind`."""

    async def iterate() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    length = {"content-length": str(sum(map(len, parts)))}
    return cast("Response[T]", Stream(iterate(), headers=headers | length, media_type=MediaType.JSON))


def _item_pieces(item: BatchItem) -> Iterator[bytes]:
    samples = None
    if item.result is not None:
        samples = cast("NDArray[np.float64] | None", item.result.samples)
        item = msgspec.structs.replace(item, result=msgspec.structs.replace(item.result, samples=None))
    yield from _spliced(msgspec.json.encode(item), samples)


def _spliced(encoded: bytes, samples: NDArray[np.float64] | None) -> Iterator[bytes]:
    """Yield JSON with the samples in place of its null."""
    if samples is None:
        yield encoded
        return
    before, _, after = encoded.partition(_NO_SAMPLES)
    yield before + b',"samples":['
    rows = max(1, PIECE_VALUES * len(samples) // max(1, samples.size))
    for first in range(0, len(samples), rows):
        yield b"," * (first > 0)
        yield msgspec.json.encode(samples[first : first + rows].tolist())[1:-1]
    yield b"]" + after
