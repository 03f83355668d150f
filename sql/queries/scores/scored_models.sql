-- Models that have forecasts that matured in a span. Parameters: timeframe, matured_after (excluded) and matured_by
-- (included) timestamptz.
SELECT DISTINCT model_name, model_version
FROM prediction_scores
WHERE timeframe = %(timeframe)s::text AND model_version IS NOT NULL
    AND matured_at > %(matured_after)s::timestamptz AND matured_at <= %(matured_by)s::timestamptz
ORDER BY model_name, model_version
