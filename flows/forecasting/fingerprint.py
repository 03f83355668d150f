"""Hashes everything a stored forecast depends on, so that a run skips forecasts that are stored already."""

from dataclasses import replace
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np
from msgspec import UNSET

from flows.forecasting.forecasts import Order, build_request

FORM: Final = 1
"""Version of the hash: increase it if the same order gives another row, so that every forecast is remade."""


def with_fingerprint(order: Order, *, settled: bool) -> Order:
    """Return an order with its fingerprint.

    Parameters
    ----------
    settled
        Whether no later run could add events to the order. If one could, there is no fingerprint, so that the
        forecast is made again.
    """
    return replace(order, fingerprint=fingerprint(order)) if settled else order


def fingerprint(order: Order) -> str:
    """Return 32 hex digits that differ where the row of an order would.

    They cover the request (candles, future timestamps, settings, seed), the event array and its summary, the
    bundle's version, the instrument, the calibration, the warnings of the order, and whether sample paths are
    stored. The time of the run is not included.
    """
    calibration = order.calibration
    parts: list[object] = [
        FORM,
        order.model_version,
        repr(order.window.instrument),
        order.event_context,
        order.warnings,
        order.store_samples,
    ]
    # Both are parts by themselves. Encoded as in every request of earlier releases, they leave the
    # fingerprints of rows that are stored already what they are.
    request = msgspec.structs.replace(build_request(order), return_samples=True, allow_nonpositive=UNSET)
    digest = blake2b(msgspec.json.encode([*parts, request]), digest_size=16)
    arrays = [order.events, *([] if calibration is None else [calibration.low, calibration.high])]
    for array in arrays:
        if array is None:
            digest.update(b"none")
        else:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
