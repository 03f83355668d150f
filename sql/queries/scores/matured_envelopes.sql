-- Raw envelopes and the actual closes, from which a calibration is learned: of each symbol the share of forecasts that its
-- threshold says, of 2^20, chosen by a hash of symbol and as_of, so that it is always the same one. Forecasts of candles
-- that the model was trained on are left out: their errors are smaller than those to come. Parameters: timeframe,
-- model_name, model_version, matured_after (excluded) and matured_by (included) timestamptz; symbols text[] and
-- thresholds integer[] of equal length.
SELECT s.symbol, p.p10::float8[] AS p10, p.p90::float8[] AS p90, s.actual
FROM prediction_scores AS s
JOIN unnest(%(symbols)s::text[], %(thresholds)s::integer[]) AS sample (symbol, threshold) ON sample.symbol = s.symbol
JOIN ml_predictions AS p
    ON p.symbol = s.symbol AND p.timeframe = s.timeframe AND p.as_of = s.as_of AND p.model_name = s.model_name
WHERE s.timeframe = %(timeframe)s::text
    AND s.model_name = %(model_name)s::text AND s.model_version = %(model_version)s::text
    AND p.model_version = s.model_version AND p.updated_at IS NOT DISTINCT FROM s.forecast_updated_at
    AND s.matured_at > %(matured_after)s::timestamptz AND s.matured_at <= %(matured_by)s::timestamptz
    AND (hashtextextended(s.symbol, extract(epoch FROM s.as_of)::bigint) & 1048575) < sample.threshold
    AND NOT EXISTS (SELECT FROM unnest(p.warnings) AS warning WHERE warning LIKE 'in-training-span:%%')
