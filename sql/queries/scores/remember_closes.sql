-- Stores the closes from which scores were computed. A close that is stored already is kept: if its candle has changed
-- since, the next run finds the difference and marks every forecast with that candle as due. Parameters: timeframe, and
-- symbols text[], as_ofs timestamptz[], model_names text[] of equal length.
INSERT INTO scored_closes AS stored (timeframe, symbol, ts, close, forecasts_from)
SELECT p.timeframe, p.symbol, step.ts, min(step.close), min(p.as_of)
FROM unnest(%(symbols)s::text[], %(as_ofs)s::timestamptz[], %(model_names)s::text[]) AS wanted (symbol, as_of, model_name)
JOIN ml_predictions AS p USING (symbol, as_of, model_name)
JOIN prediction_scores AS s USING (symbol, timeframe, as_of, model_name)
CROSS JOIN LATERAL unnest(p.timestamps || p.as_of, s.actual || s.last_close) AS step (ts, close)
WHERE p.timeframe = %(timeframe)s::text
GROUP BY p.timeframe, p.symbol, step.ts
ON CONFLICT (timeframe, symbol, ts) DO UPDATE SET forecasts_from = excluded.forecasts_from
WHERE excluded.forecasts_from < stored.forecasts_from
