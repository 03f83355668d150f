-- The forecasts whose sample paths may go: scored in their present state, with a last candle that opened before an
-- instant. Inserted into measure_samples.sql and clear_samples.sql. Parameters: timeframe, before timestamptz.
FROM ml_predictions AS p
WHERE p.timeframe = %(timeframe)s::text AND p.samples IS NOT NULL
    AND p.timestamps[p.pred_len] < %(before)s::timestamptz
    AND p.scored_at IS NOT NULL AND (p.scored_at < p.updated_at) IS NOT TRUE
