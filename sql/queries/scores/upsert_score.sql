-- One score; writing an equal one changes nothing, not even updated_at. Parameters: all columns except created_at and
-- updated_at. Returns a row if it wrote one.
INSERT INTO prediction_scores AS stored (
    symbol, timeframe, as_of, model_name, model_version, pred_len, matured_at, last_close, actual, covered,
    covered_calibrated, pinball, abs_error, direction_hit, crps, events_active, step_events, event_day,
    forecast_updated_at, backfilled
)
VALUES (
    %(symbol)s, %(timeframe)s, %(as_of)s, %(model_name)s, %(model_version)s, %(pred_len)s, %(matured_at)s,
    %(last_close)s, %(actual)s::float8[], %(covered)s::boolean[], %(covered_calibrated)s::boolean[],
    %(pinball)s::float8[], %(abs_error)s::float8[], %(direction_hit)s::boolean[],
    %(crps)s::float8[], %(events_active)s::text[], %(step_events)s::text[], %(event_day)s::boolean[],
    %(forecast_updated_at)s, %(backfilled)s
)
ON CONFLICT (symbol, timeframe, as_of, model_name) DO UPDATE SET
    model_version = excluded.model_version,
    pred_len = excluded.pred_len,
    matured_at = excluded.matured_at,
    last_close = excluded.last_close,
    actual = excluded.actual,
    covered = excluded.covered,
    covered_calibrated = excluded.covered_calibrated,
    pinball = excluded.pinball,
    abs_error = excluded.abs_error,
    direction_hit = excluded.direction_hit,
    -- Samples are deleted after a while; the CRPS computed from them stays as long as forecast and closes are the same.
    crps = CASE
        WHEN stored.forecast_updated_at IS NOT DISTINCT FROM excluded.forecast_updated_at
            AND stored.actual IS NOT DISTINCT FROM excluded.actual
            THEN coalesce(excluded.crps, stored.crps)
        ELSE excluded.crps
    END,
    events_active = excluded.events_active,
    step_events = excluded.step_events,
    event_day = excluded.event_day,
    forecast_updated_at = excluded.forecast_updated_at,
    backfilled = excluded.backfilled,
    updated_at = now()
WHERE (
        stored.model_version, stored.pred_len, stored.matured_at, stored.last_close, stored.actual, stored.covered,
        stored.covered_calibrated, stored.pinball, stored.abs_error, stored.direction_hit, stored.events_active,
        stored.step_events, stored.event_day, stored.forecast_updated_at, stored.backfilled
    ) IS DISTINCT FROM (
        excluded.model_version, excluded.pred_len, excluded.matured_at, excluded.last_close, excluded.actual,
        excluded.covered, excluded.covered_calibrated, excluded.pinball, excluded.abs_error, excluded.direction_hit,
        excluded.events_active, excluded.step_events, excluded.event_day, excluded.forecast_updated_at,
        excluded.backfilled
    )
    OR (excluded.crps IS NOT NULL AND stored.crps IS DISTINCT FROM excluded.crps)
RETURNING stored.xmax = 0 AS inserted
