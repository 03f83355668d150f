-- The stored live forecasts that have the given fingerprints, without their sample paths. Parameters: timeframe, model_name,
-- and symbols text[], as_ofs timestamptz[], fingerprints text[] of equal length.
SELECT
    p.symbol, p.timeframe, p.as_of, p.model_name, p.model_version, p.pred_len, p.timestamps,
    p.p10::float8[], p.p50::float8[], p.p90::float8[], p.seed, p.event_context,
    p.p10_calibrated, p.p90_calibrated, p.warnings, p.fingerprint, p.statistics
FROM unnest(%(symbols)s::text[], %(as_ofs)s::timestamptz[], %(fingerprints)s::text[])
    AS wanted (symbol, as_of, fingerprint)
JOIN ml_predictions AS p USING (symbol, as_of, fingerprint)
WHERE p.timeframe = %(timeframe)s::text AND p.model_name = %(model_name)s::text AND NOT p.backfilled
