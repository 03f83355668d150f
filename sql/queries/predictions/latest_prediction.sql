-- The newest forecast of a symbol, of each model. Parameters: symbol and timeframe.
SELECT DISTINCT ON (model_name)
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps,
    p10::float8[], p50::float8[], p90::float8[], seed, created_at, updated_at, event_context
FROM ml_predictions
WHERE symbol = %(symbol)s::text AND timeframe = %(timeframe)s::text AND isfinite(as_of)
ORDER BY model_name, as_of DESC
