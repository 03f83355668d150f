-- Keys of the forecasts that are to be scored at an instant: those whose last candle has begun by then (the caller
-- checks that it has closed) and that have no score, or changed since, or matured so recently that a candle may still
-- be corrected. Parameters: timeframe, as_of timestamptz, recheck_from timestamptz.
-- CASE keeps the arrays of forecasts that are done with unread.
SELECT p.symbol, p.as_of, p.model_name
FROM ml_predictions AS p
LEFT JOIN prediction_scores AS s USING (symbol, timeframe, as_of, model_name)
WHERE p.timeframe = %(timeframe)s::text
    AND isfinite(p.as_of) AND p.as_of < %(as_of)s::timestamptz
    AND p.symbol IS NOT NULL AND p.model_name IS NOT NULL
    AND CASE
        WHEN s.symbol IS NULL OR s.forecast_updated_at IS DISTINCT FROM p.updated_at
            OR s.matured_at > %(recheck_from)s::timestamptz
            THEN p.timestamps[p.pred_len] < %(as_of)s::timestamptz
        ELSE false
    END
ORDER BY p.as_of, p.symbol, p.model_name
