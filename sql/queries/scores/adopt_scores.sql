-- Takes over scores that are older than the table scored_closes: forecasts that have not changed since and matured by
-- an instant count as scored. Stores the closes at their as_of and those that were missing. Parameters: timeframe,
-- symbols text[], recheck_from timestamptz.
WITH adopted AS (
    UPDATE ml_predictions AS p
    SET scored_at = now()
    FROM prediction_scores AS s
    WHERE s.timeframe = %(timeframe)s::text AND s.symbol = ANY (%(symbols)s::text[])
        AND s.matured_at <= %(recheck_from)s::timestamptz AND p.updated_at IS NOT DISTINCT FROM s.forecast_updated_at
        AND p.symbol = s.symbol AND p.timeframe = s.timeframe AND p.as_of = s.as_of AND p.model_name = s.model_name
    RETURNING p.symbol, p.as_of, p.timestamps, s.actual, s.last_close, s.matured_at
), longest AS (
    SELECT symbol, max(matured_at - as_of) AS horizon FROM adopted GROUP BY symbol
), steps AS (
    SELECT symbol, as_of AS ts, last_close AS close FROM adopted
    UNION ALL
    SELECT symbol, step.ts, step.close
    FROM adopted CROSS JOIN LATERAL unnest(timestamps, actual) AS step (ts, close)
    WHERE array_position(actual, NULL) IS NOT NULL AND step.close IS NULL
)
INSERT INTO scored_closes (timeframe, symbol, ts, close, forecasts_from)
SELECT
    %(timeframe)s::text, symbol, ts, CASE WHEN bool_and(close IS NOT NULL) THEN min(close) END, ts - min(horizon)
FROM steps JOIN longest USING (symbol)
GROUP BY symbol, ts
ON CONFLICT (timeframe, symbol, ts) DO NOTHING
