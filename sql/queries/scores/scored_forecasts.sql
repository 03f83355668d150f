-- Scores with their envelopes, ordered by the time at which the forecast matured. Parameters: timeframe, matured_after
-- (excluded) and matured_by (included) timestamptz.
SELECT
    s.model_name AS model, s.symbol, s.as_of, s.last_close,
    p.p10::float8[], p.p50::float8[], p.p90::float8[], p.p10_calibrated, p.p90_calibrated,
    s.actual, s.covered, s.covered_calibrated, s.pinball, s.abs_error, s.direction_hit, s.crps,
    s.events_active, s.step_events, s.event_day
FROM prediction_scores AS s
JOIN ml_predictions AS p USING (symbol, timeframe, as_of, model_name)
WHERE s.timeframe = %(timeframe)s::text
    AND s.matured_at > %(matured_after)s::timestamptz AND s.matured_at <= %(matured_by)s::timestamptz
ORDER BY s.matured_at, s.symbol, s.model_name
