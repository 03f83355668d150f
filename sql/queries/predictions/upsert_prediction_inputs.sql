-- The inputs of one forecast; a rerun overwrites them. Also deletes the inputs of the same symbol, timeframe and model
-- that were stored more than a month ago. Parameters: all columns except stored_at.
WITH outdated AS (
    DELETE FROM prediction_inputs
    WHERE symbol = %(symbol)s AND timeframe = %(timeframe)s AND model_name = %(model_name)s
        AND as_of <> %(as_of)s AND stored_at < now() - interval '1 month'
)
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
