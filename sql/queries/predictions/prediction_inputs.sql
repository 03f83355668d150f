-- The inputs from which a stored forecast was made. Parameters: symbol, timeframe, as_of and model_name.
SELECT lookback, sample_count, temperature, top_k, top_p, event_schema, events
FROM prediction_inputs
WHERE symbol = %(symbol)s::text AND timeframe = %(timeframe)s::text
    AND as_of = %(as_of)s::timestamptz AND model_name = %(model_name)s::text
