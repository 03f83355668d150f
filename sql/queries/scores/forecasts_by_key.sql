-- Forecasts with everything that their score needs. Parameters: timeframe, and symbols text[], as_ofs timestamptz[],
-- model_names text[] of equal length.
SELECT
    p.symbol, p.as_of, p.model_name, p.model_version, p.timestamps, p.p10::float8[], p.p50::float8[], p.p90::float8[],
    p.p10_calibrated, p.p90_calibrated, p.samples::float8[] AS samples,
    ARRAY(SELECT jsonb_array_elements_text(p.event_context -> 'events_active')) AS events_active,
    p.updated_at
FROM unnest(%(symbols)s::text[], %(as_ofs)s::timestamptz[], %(model_names)s::text[]) AS wanted (symbol, as_of, model_name)
JOIN ml_predictions AS p USING (symbol, as_of, model_name)
WHERE p.timeframe = %(timeframe)s::text
ORDER BY p.as_of, p.symbol, p.model_name
