-- Forecasts made under an event, newest first. Parameter: event, as in events_active ('fomc', 'cpi', …).
SELECT
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps,
    p10::float8[], p50::float8[], p90::float8[], seed, created_at, updated_at, event_context
FROM ml_predictions
WHERE event_context -> 'events_active' ? %(event)s::text
ORDER BY as_of DESC, symbol, timeframe, model_name
