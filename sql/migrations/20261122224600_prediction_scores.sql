-- One row per forecast whose horizon has passed, one array entry per step, NULL where no close is known.
-- symbol, timeframe, as_of and model_name are those of ml_predictions. actual, pinball (mean over p10, p50 and p90),
-- abs_error (of p50) and crps (where samples are stored) are in price units; last_close is what the forecast started
-- from. matured_at is the close of the last candle forecast. events_active is the forecast's own event_context;
-- step_events names the releases on each step's candle, separated by commas; both event columns are NULL where the
-- calendar says nothing of the time. forecast_updated_at tells which state of the forecast was scored.
CREATE TABLE IF NOT EXISTS prediction_scores (
    symbol text NOT NULL,
    timeframe text NOT NULL,
    as_of timestamptz NOT NULL,
    model_name text NOT NULL,
    model_version text,
    pred_len integer NOT NULL,
    matured_at timestamptz NOT NULL,
    last_close float8,
    actual float8[] NOT NULL,
    covered boolean[] NOT NULL,
    covered_calibrated boolean[],
    pinball float8[] NOT NULL,
    abs_error float8[] NOT NULL,
    direction_hit boolean[] NOT NULL,
    crps float8[],
    events_active text[] NOT NULL,
    step_events text[],
    event_day boolean[],
    forecast_updated_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, timeframe, as_of, model_name)
);

CREATE INDEX IF NOT EXISTS prediction_scores_matured ON prediction_scores (timeframe, matured_at);

-- The same with one row per step, for whoever asks in SQL.
CREATE OR REPLACE VIEW prediction_score_steps AS
SELECT
    s.symbol, s.timeframe, s.as_of, s.model_name, s.model_version, s.matured_at, s.last_close,
    step.step, step.actual, step.covered, s.covered_calibrated[step.step] AS covered_calibrated, step.pinball,
    step.abs_error, step.direction_hit, s.crps[step.step] AS crps,
    s.events_active, s.step_events[step.step] AS step_events, s.event_day[step.step] AS event_day
FROM prediction_scores AS s
CROSS JOIN LATERAL unnest(s.actual, s.covered, s.pinball, s.abs_error, s.direction_hit)
    WITH ORDINALITY AS step (actual, covered, pinball, abs_error, direction_hit, step);
