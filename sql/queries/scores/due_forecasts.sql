-- Keys of the forecasts that are due at an instant, oldest first: their last candle has begun by then (the caller checks
-- that it has closed), and they have not been scored, or were changed since, or a candle or release of theirs was.
-- has_candle: whether any candle may be one of their steps. Parameters: timeframe, as_of timestamptz. candles: the table.
SELECT
    p.symbol, p.as_of, p.model_name, p.timestamps[p.pred_len] AS last_ts,
    EXISTS (
        SELECT FROM {candles} AS c
        WHERE c.symbol = p.symbol AND c.ts > p.as_of AND c.ts <= p.timestamps[p.pred_len]
    ) AS has_candle
FROM ml_predictions AS p
WHERE p.timeframe = %(timeframe)s::text
    AND p.timestamps[p.pred_len] < %(as_of)s::timestamptz AND p.timestamps[p.pred_len] > '-infinity'
    AND (p.scored_at IS NULL OR p.scored_at < p.updated_at)
    AND isfinite(p.as_of) AND p.as_of < %(as_of)s::timestamptz
    AND p.symbol IS NOT NULL AND p.model_name IS NOT NULL
ORDER BY p.as_of, p.symbol, p.model_name
