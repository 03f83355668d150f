-- One forecast of a past instant, made afterwards. It never replaces a live forecast, and is written only if the newest
-- live forecast of its symbol, timeframe and model_name has a later as_of; its created_at is the as_of, and before that
-- forecast's. So it is the newest neither by as_of nor by created_at. Returns a row if it wrote one.
-- Parameters: those of upsert_prediction.sql.
INSERT INTO ml_predictions AS stored (
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps, p10, p50, p90, seed, event_context,
    p10_calibrated, p90_calibrated, samples, warnings, fingerprint, statistics, backfilled, created_at
)
SELECT
    %(symbol)s::text, %(timeframe)s::text, %(as_of)s::timestamptz, %(model_name)s::text, %(model_version)s::text,
    %(pred_len)s::integer, %(timestamps)s::timestamptz[], %(p10)s::float8[], %(p50)s::float8[], %(p90)s::float8[],
    %(seed)s::bigint, %(event_context)s::jsonb, %(p10_calibrated)s::float8[], %(p90_calibrated)s::float8[],
    %(samples)s::real[], %(warnings)s::text[], %(fingerprint)s::text, %(statistics)s::jsonb,
    true, least(%(as_of)s::timestamptz, newest.created_at - interval '1 microsecond')
FROM (
    SELECT as_of, created_at FROM ml_predictions
    WHERE symbol = %(symbol)s::text AND timeframe = %(timeframe)s::text AND model_name = %(model_name)s::text
        AND NOT backfilled AND isfinite(as_of)
    ORDER BY as_of DESC
    LIMIT 1
) AS newest
WHERE newest.as_of > %(as_of)s::timestamptz
ON CONFLICT (symbol, timeframe, as_of, model_name) DO UPDATE SET
    model_version = excluded.model_version,
    pred_len = excluded.pred_len,
    timestamps = excluded.timestamps,
    p10 = excluded.p10,
    p50 = excluded.p50,
    p90 = excluded.p90,
    seed = excluded.seed,
    event_context = excluded.event_context,
    p10_calibrated = excluded.p10_calibrated,
    p90_calibrated = excluded.p90_calibrated,
    samples = excluded.samples,
    warnings = excluded.warnings,
    fingerprint = excluded.fingerprint,
    statistics = excluded.statistics,
    created_at = excluded.created_at,
    updated_at = now(),
    scored_at = NULL
WHERE stored.backfilled
RETURNING true AS written
