-- Raw envelopes and the actual closes, from which a calibration is learned. Parameters: timeframe, model_name,
-- model_version, matured_after (excluded) and matured_by (included) timestamptz.
SELECT s.symbol, p.p10::float8[] AS p10, p.p90::float8[] AS p90, s.actual
FROM prediction_scores AS s
JOIN ml_predictions AS p USING (symbol, timeframe, as_of, model_name)
WHERE s.timeframe = %(timeframe)s::text
    AND s.model_name = %(model_name)s::text AND s.model_version = %(model_version)s::text
    AND p.model_version = s.model_version AND p.updated_at IS NOT DISTINCT FROM s.forecast_updated_at
    AND s.matured_at > %(matured_after)s::timestamptz AND s.matured_at <= %(matured_by)s::timestamptz
ORDER BY s.matured_at, s.symbol
