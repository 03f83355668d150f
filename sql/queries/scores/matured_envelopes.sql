-- Raw envelopes and the actual closes, from which a calibration is learned: of each symbol the share of forecasts that its
-- threshold says, of 2^20, chosen by a hash of symbol and as_of, so that it is always the same one. Forecasts of candles
-- that the model was trained on are left out: their errors are smaller than those to come. Parameters: timeframe,
-- model_name, model_version, matured_after (excluded) and matured_by (included) timestamptz; symbols text[] and
-- thresholds integer[] of equal length. Each forecast is one probe of the key, whatever number of rows is expected.
SELECT s.symbol, p.p10, p.p90, s.actual
FROM prediction_scores AS s
JOIN unnest(%(symbols)s::text[], %(thresholds)s::integer[]) AS sample (symbol, threshold) ON sample.symbol = s.symbol
CROSS JOIN LATERAL (
    SELECT f.p10::float8[], f.p90::float8[], f.model_version, f.updated_at, f.warnings
    FROM ml_predictions AS f
    WHERE f.symbol = s.symbol AND f.timeframe = s.timeframe AND f.as_of = s.as_of AND f.model_name = s.model_name
    LIMIT 1
) AS p
WHERE s.timeframe = %(timeframe)s::text
    AND s.model_name = %(model_name)s::text AND s.model_version = %(model_version)s::text
    AND p.model_version = s.model_version AND p.updated_at IS NOT DISTINCT FROM s.forecast_updated_at
    AND s.matured_at > %(matured_after)s::timestamptz AND s.matured_at <= %(matured_by)s::timestamptz
    AND (hashtextextended(s.symbol, extract(epoch FROM s.as_of)::bigint) & 1048575) < sample.threshold
    AND NOT EXISTS (SELECT FROM unnest(p.warnings) AS warning WHERE warning LIKE 'in-training-span:%%')
