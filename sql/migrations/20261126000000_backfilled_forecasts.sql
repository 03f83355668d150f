-- backfilled: whether a forecast was made afterwards, by the flow backfill, of an instant in the past; false in every
-- row of before. The default is a constant, so that no row is rewritten. A score has that of its forecast.
ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS backfilled boolean NOT NULL DEFAULT false;
ALTER TABLE prediction_scores ADD COLUMN IF NOT EXISTS backfilled boolean NOT NULL DEFAULT false;

-- The view goes on showing the scores of live forecasts alone. Replacing a view sets its options anew.
CREATE OR REPLACE VIEW prediction_score_steps AS
SELECT
    s.symbol, s.timeframe, s.as_of, s.model_name, s.model_version, s.matured_at, s.last_close,
    step.step, step.actual, step.covered, s.covered_calibrated[step.step] AS covered_calibrated, step.pinball,
    step.abs_error, step.direction_hit, s.crps[step.step] AS crps,
    s.events_active, s.step_events[step.step] AS step_events, s.event_day[step.step] AS event_day
FROM prediction_scores AS s
CROSS JOIN LATERAL unnest(s.actual, s.covered, s.pinball, s.abs_error, s.direction_hit)
    WITH ORDINALITY AS step (actual, covered, pinball, abs_error, direction_hit, step)
WHERE NOT s.backfilled;

DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW prediction_score_steps SET (security_invoker = true);
    END IF;
END
$$;
