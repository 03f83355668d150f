"""Stores the inputs of each forecast, from which it can be made again with its events or without."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import psycopg

from flows.forecasting.forecasts import Order
from flows.forecasting.store import BY_KEY
from inference_server.schemas import PredictAnswer
from market.event_channels import EVENT_SCHEMA
from sql.errors import one_line
from sql.loading import load


@dataclass(frozen=True)
class StoredInputs:
    """One row of ``prediction_inputs``.

    Attributes
    ----------
    symbol, timeframe, as_of, model_name
        Those of the row of ``ml_predictions``, which holds the seed and pred_len too.
    event_schema, events
        Version of the channels, and (lookback + pred_len) × 20 little-endian float32; None where the forecast
        was made without events.
    """

    symbol: str
    timeframe: str
    as_of: datetime
    model_name: str
    lookback: int
    sample_count: int
    temperature: float
    top_k: int
    top_p: float
    event_schema: int | None
    events: bytes | None = field(repr=False)  # Prefect shows arguments in its messages


def build_inputs(order: Order, answer: PredictAnswer) -> StoredInputs:
    """Return the inputs of a forecast, without the events if the server did not use them."""
    sampling = order.sampling
    events = order.events if answer.events_used else None
    return StoredInputs(
        symbol=order.symbol,
        timeframe=sampling.timeframe,
        as_of=order.window.as_of,
        model_name=answer.model.name,
        lookback=answer.lookback_used,
        sample_count=sampling.sample_count,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        event_schema=None if events is None else EVENT_SCHEMA,
        events=None if events is None else events.astype(np.dtype("<f4")).tobytes(),
    )


def keep_all_inputs(connection: psycopg.Connection[Any], inputs: Sequence[StoredInputs]) -> None:
    """Write the inputs of some forecasts, over those of earlier runs, in the order of their keys."""
    with connection.cursor() as cursor:
        values = [vars(row) for row in sorted(inputs, key=BY_KEY)]
        cursor.executemany(load("upsert_prediction_inputs"), values)


def keep_inputs(connection: psycopg.Connection[Any], inputs: StoredInputs) -> str | None:
    """Write the inputs of one forecast, over those of an earlier run.

    Within a transaction of the caller's, a refusal undoes only this statement.

    Returns
    -------
    str or None
        Why they could not be written, such as a missing table; the forecast can be stored all the same.

    Raises
    ------
    psycopg.OperationalError
        The connection is lost.
    """
    try:
        with connection.transaction():
            keep_all_inputs(connection, [inputs])
    except psycopg.OperationalError:
        raise  # a lost connection tells nothing of this table, and the task is tried again
    except psycopg.Error as error:
        return one_line(error)
    return None
