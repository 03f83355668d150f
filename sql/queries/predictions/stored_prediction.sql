-- One forecast of a symbol: the one with the given as_of, or the newest if as_of is NULL. If several models have one,
-- a live one, and of these the row written last. Parameters: symbol, timeframe, as_of timestamptz or NULL, model_name or
-- NULL (any model).
SELECT
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps,
    p10::float8[], p50::float8[], p90::float8[], seed, created_at, updated_at, event_context,
    p10_calibrated, p90_calibrated, warnings, statistics, backfilled
FROM ml_predictions
WHERE symbol = %(symbol)s::text AND timeframe = %(timeframe)s::text AND isfinite(as_of)
    -- A condition on a NULL parameter falls away when the query is planned, so that the newest row is the first of the key.
    AND (%(as_of)s::timestamptz IS NULL OR as_of = %(as_of)s::timestamptz)
    AND (%(model_name)s::text IS NULL OR model_name = %(model_name)s::text)
ORDER BY as_of DESC, backfilled, coalesce(updated_at, created_at) DESC, model_name
LIMIT 1
