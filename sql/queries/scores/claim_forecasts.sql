-- Forecasts with all columns that their score needs. Marks them as scored and locks them against changes until the
-- transaction ends. Parameters: timeframe, and symbols text[], as_ofs timestamptz[], model_names text[] of equal
-- length.
UPDATE ml_predictions AS p
SET scored_at = now()
FROM unnest(%(symbols)s::text[], %(as_ofs)s::timestamptz[], %(model_names)s::text[]) AS wanted (symbol, as_of, model_name)
WHERE p.timeframe = %(timeframe)s::text
    AND p.symbol = wanted.symbol AND p.as_of = wanted.as_of AND p.model_name = wanted.model_name
RETURNING
    p.symbol, p.as_of, p.model_name, p.model_version, p.timestamps, p.p10::float8[], p.p50::float8[], p.p90::float8[],
    p.p10_calibrated, p.p90_calibrated, p.samples::float8[] AS samples,
    ARRAY(SELECT jsonb_array_elements_text(p.event_context -> 'events_active')) AS events_active,
    p.updated_at, p.backfilled
