-- Keys of the forecasts that are due for scoring at an instant: their last candle has begun by then (the caller checks
-- that it has closed), and they are not scored yet, or the forecast, one of its candles or one of its releases has changed
-- since. has_candle tells whether a candle is stored between as_of and the last step; those without come last. Live
-- forecasts come before backfilled ones, and of each the oldest first.
-- Identifier: table of candles. Parameters: timeframe, as_of timestamptz, n.
SELECT
    p.symbol, p.as_of, p.model_name, p.timestamps[p.pred_len] AS last_ts,
    EXISTS (
        SELECT FROM {table} AS c
        WHERE c.symbol = p.symbol AND c.ts > p.as_of AND c.ts <= p.timestamps[p.pred_len]
    ) AS has_candle
FROM ml_predictions AS p
WHERE p.timeframe = %(timeframe)s::text
    AND p.timestamps[p.pred_len] < %(as_of)s::timestamptz AND p.timestamps[p.pred_len] > '-infinity'
    AND (p.scored_at IS NULL OR p.scored_at < p.updated_at)
    AND isfinite(p.as_of) AND p.as_of < %(as_of)s::timestamptz
    AND p.symbol IS NOT NULL AND p.model_name IS NOT NULL
ORDER BY has_candle DESC, p.backfilled, p.as_of, p.symbol, p.model_name
LIMIT %(n)s::bigint
