-- One live forecast; a rerun overwrites the row of the same symbol, timeframe, as_of and model_name and keeps created_at.
-- A backfilled row becomes a live one, created now. Parameters: all columns except created_at, updated_at, scored_at and
-- backfilled; event_context as Jsonb or NULL, p10_calibrated,
-- p90_calibrated, samples, warnings and fingerprint may be NULL; statistics as Jsonb or NULL.
INSERT INTO ml_predictions AS stored (
    symbol, timeframe, as_of, model_name, model_version, pred_len, timestamps, p10, p50, p90, seed, event_context,
    p10_calibrated, p90_calibrated, samples, warnings, fingerprint, statistics
)
VALUES (
    %(symbol)s, %(timeframe)s, %(as_of)s, %(model_name)s, %(model_version)s, %(pred_len)s,
    %(timestamps)s::timestamptz[], %(p10)s::float8[], %(p50)s::float8[], %(p90)s::float8[], %(seed)s, %(event_context)s,
    %(p10_calibrated)s::float8[], %(p90_calibrated)s::float8[], %(samples)s::real[],
    %(warnings)s::text[], %(fingerprint)s, %(statistics)s
)
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
    backfilled = false,
    created_at = CASE WHEN stored.backfilled THEN now() ELSE stored.created_at END,
    updated_at = now(),
    scored_at = NULL
