-- The stored forecasts of a symbol, newest first, without their values; has_inputs tells whether the inputs of a
-- forecast are stored. Parameters: symbol, timeframe and n.
SELECT
    as_of, model_name, model_version, pred_len, created_at, updated_at, event_context,
    EXISTS (
        SELECT FROM prediction_inputs AS i
        WHERE i.symbol = p.symbol AND i.timeframe = p.timeframe AND i.as_of = p.as_of AND i.model_name = p.model_name
    ) AS has_inputs,
    backfilled
FROM ml_predictions AS p
WHERE symbol = %(symbol)s::text AND timeframe = %(timeframe)s::text AND isfinite(as_of)
ORDER BY as_of DESC, backfilled, coalesce(updated_at, created_at) DESC, model_name
LIMIT %(n)s::bigint
