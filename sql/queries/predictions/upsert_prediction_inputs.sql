-- The inputs of one forecast; a rerun overwrites them. Parameters: all columns except stored_at.
INSERT INTO prediction_inputs (
    symbol, timeframe, as_of, model_name, lookback, sample_count, temperature, top_k, top_p, event_schema, events
)
VALUES (
    %(symbol)s, %(timeframe)s, %(as_of)s, %(model_name)s, %(lookback)s, %(sample_count)s, %(temperature)s,
    %(top_k)s, %(top_p)s, %(event_schema)s, %(events)s
)
ON CONFLICT (symbol, timeframe, as_of, model_name) DO UPDATE SET
    lookback = excluded.lookback,
    sample_count = excluded.sample_count,
    temperature = excluded.temperature,
    top_k = excluded.top_k,
    top_p = excluded.top_p,
    event_schema = excluded.event_schema,
    events = excluded.events,
    stored_at = now()
