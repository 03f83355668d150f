-- What a forecast of ml_predictions was made from, so that it can be made again, with its events or without: the
-- settings that its row does not hold, and the event array. events holds (lookback + pred_len) × 20 little-endian
-- float32 and is NULL where the forecast was made without. Rows older than a month go (upsert_prediction_inputs),
-- because an array takes some 10 kB.
CREATE TABLE IF NOT EXISTS prediction_inputs (
    symbol text NOT NULL,
    timeframe text NOT NULL,
    as_of timestamptz NOT NULL,
    model_name text NOT NULL,
    lookback integer NOT NULL,
    sample_count integer NOT NULL,
    temperature float8 NOT NULL,
    top_k integer NOT NULL,
    top_p float8 NOT NULL,
    event_schema integer,
    events bytea,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, timeframe, as_of, model_name)
);
