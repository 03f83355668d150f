"""An inference server that answers at once: what a run costs without the model.

``KRONOS_PORT=8200 python -m benchmarks.growth.stand_in`` serves in one process, so that its memory is not the
flow's.
"""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import msgspec

from inference_server.schemas import FeatureColumns, Limits, ModelInfo, ModelName
from market.event_channels import EVENT_CHANNELS, EVENT_SCHEMA

MODEL = ModelInfo(
    name="stand-in",
    version="v1",
    precision="fp32",
    max_context=512,
    has_events=True,
    event_schema=EVENT_SCHEMA,
    event_alignment="same",
    event_channels=list(EVENT_CHANNELS),
    limits=Limits(
        min_candles=32,
        max_pred_len=512,
        max_sample_count=256,
        max_lookback=4096,
        max_batch_symbols=100,
        max_body_bytes=2**25,
    ),
    manifest={},
)


class _Candles(msgspec.Struct):
    timestamp: list[int]


class _Request(msgspec.Struct):
    """The part of a request that the answer repeats."""

    symbol: str
    timeframe: str
    seed: int
    sample_count: int
    return_samples: bool
    candles: _Candles
    future_timestamps: list[int]
    events: msgspec.Raw = msgspec.Raw(b"null")


_decoder = msgspec.json.Decoder(_Request)
_paths: dict[tuple[int, int], tuple[msgspec.Raw, FeatureColumns]] = {}


def answer(body: bytes) -> bytes:
    """Return paths that spread from 100, the same for every request."""
    request = _decoder.decode(body)
    shape = request.sample_count, len(request.future_timestamps)
    if shape not in _paths:
        flat = [100.0] * shape[1]
        rows = [[100 * (1 + 1e-4 * (row + 1) * step) for step in range(shape[1])] for row in range(shape[0])]
        _paths[shape] = (
            msgspec.Raw(msgspec.json.encode(rows)),
            FeatureColumns(open=flat, high=flat, low=flat, close=flat, volume=flat, amount=flat),
        )
    samples, flat_columns = _paths[shape]
    reply: dict[str, Any] = {
        "symbol": request.symbol,
        "timeframe": request.timeframe,
        "as_of": _instant(request.candles.timestamp[-1]),
        "timestamps": [_instant(each) for each in request.future_timestamps],
        **dict.fromkeys(("p10", "p50", "p90"), flat_columns.close),
        "mean": flat_columns,
        "samples": samples if request.return_samples else None,
        "seed": request.seed,
        "sample_count": request.sample_count,
        "lookback_used": len(request.candles.timestamp),
        "model": ModelName(name=MODEL.name, version=MODEL.version),
        "events_used": bytes(request.events) != b"null",
        "warnings": [],
    }
    return msgspec.json.encode(reply)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            body = await reader.readexactly(length)
            content = msgspec.json.encode(MODEL) if head.startswith(b"GET") else answer(body)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(content)
            )
            writer.write(content)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(_serve, "127.0.0.1", int(os.environ["KRONOS_PORT"]), limit=2**25)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
