-- The oldest as_of among the scores of forecasts that matured after an instant; NULL if there are none.
-- Parameters: timeframe, recheck_from timestamptz.
SELECT min(as_of) FROM prediction_scores
WHERE timeframe = %(timeframe)s::text AND matured_at > %(recheck_from)s::timestamptz AND isfinite(as_of)
