-- The newest forecast of each symbol, timeframe and model at its last step, with the close at its as_of.
SELECT DISTINCT ON (p.symbol, p.timeframe, p.model_name)
    p.symbol,
    p.timeframe,
    p.model_name,
    p.as_of,
    (
        CASE p.timeframe
            WHEN '1h' THEN (SELECT c.close FROM ohlcv_1h AS c WHERE c.symbol = p.symbol AND c.ts = p.as_of)
            WHEN '1d' THEN (SELECT c.close FROM ohlcv_1d AS c WHERE c.symbol = p.symbol AND c.ts = p.as_of)
        END
    )::float8 AS last_close,
    p.timestamps[p.pred_len] AS horizon,
    p.p10[p.pred_len]::float8 AS p10,
    p.p50[p.pred_len]::float8 AS p50,
    p.p90[p.pred_len]::float8 AS p90,
    p.event_context
FROM ml_predictions AS p
WHERE isfinite(p.as_of)
ORDER BY p.symbol, p.timeframe, p.model_name, p.as_of DESC
