-- Keys of the forecasts that are to be scored at an instant: those whose last candle has begun by then (the caller
-- checks that it has closed) and that have no score, or changed since, or matured so recently that a candle may still
-- be corrected; of the older ones those that lack a close, of a step or of the candle they started from, which has
-- come since. Parameters: timeframe, as_of timestamptz, recheck_from timestamptz.
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
UNION
SELECT p.symbol, p.as_of, p.model_name
FROM prediction_scores AS s
JOIN ml_predictions AS p USING (symbol, timeframe, as_of, model_name)
CROSS JOIN LATERAL unnest(p.timestamps || p.as_of, s.actual || s.last_close) AS step (ts, close)
WHERE s.timeframe = %(timeframe)s::text AND s.matured_at <= %(recheck_from)s::timestamptz
    AND (s.last_close IS NULL OR array_position(s.actual, NULL) IS NOT NULL)
    AND p.as_of < %(as_of)s::timestamptz AND p.timestamps[p.pred_len] < %(as_of)s::timestamptz
    AND step.close IS NULL
    AND CASE s.timeframe
        WHEN '1h' THEN EXISTS (
            SELECT FROM ohlcv_1h AS c
            WHERE c.symbol = s.symbol AND c.ts = step.ts AND c.close NOT IN ('NaN', 'Infinity', '-Infinity')
        )
        WHEN '1d' THEN EXISTS (
            SELECT FROM ohlcv_1d AS c
            WHERE c.symbol = s.symbol AND c.ts = step.ts AND c.close NOT IN ('NaN', 'Infinity', '-Infinity')
        )
    END
ORDER BY as_of, symbol, model_name
