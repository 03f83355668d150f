"""Answers as JSON in pieces, each made in about a millisecond, after which other threads may run.

Encoding a whole answer is one call that lets no other thread run, 35 ms for all features of 256 paths × 512
candles, and the lists of Python numbers that it wants take eight times the memory of the array. So samples
stay an array until their own piece is made.
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
_SENT_BYTES = 2**18  # at once: enough that sending costs little, few enough that a slow reader holds it up
# A quote inside a JSON string is escaped, so these stand nowhere else.
_NO_SAMPLES, _NO_RESULTS = b',"samples":null', b'"results":[]'


def answer_pieces(answer: PredictAnswer) -> Iterator[bytes]:
    """Yield the JSON of an answer whose `samples` are an array, (paths, pred_len) or (paths, pred_len, 6)."""
    samples = cast("NDArray[np.float64] | None", answer.samples)
    yield from _spliced(msgspec.json.encode(msgspec.structs.replace(answer, samples=None)), samples)


def batch_pieces(answer: PredictBatchAnswer) -> Iterator[bytes]:
    """Yield the JSON of a batch's answer; `answer_pieces` says of what its results are."""
    before, _, after = msgspec.json.encode(msgspec.structs.replace(answer, results=[])).partition(_NO_RESULTS)
    yield before + b'"results":['
    for number, item in enumerate(answer.results):
        yield b"," * (number > 0)
        yield from _item_pieces(item)
    yield b"]" + after


def joined(pieces: Iterator[bytes]) -> list[bytes]:
    """Return pieces put together to parts of the size in which they are sent."""
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
    """Return a response that sends the JSON of a `kind` part by part, as fast as its reader takes them."""

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
    """Yield JSON with the samples in the place of its null."""
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
