-- How far p10 and p90 of one model's forecasts must move, per step, in widths p90 − p10 of the raw envelope.
-- as_of is the instant it was learned at: only forecasts that had matured by then went into it, so a forecast made at
-- an instant may use those with as_of up to it. counts tells how many closes each step was learned from; low and high
-- are NULL where those are too few.
CREATE TABLE IF NOT EXISTS prediction_calibration (
    timeframe text NOT NULL,
    model_name text NOT NULL,
    model_version text NOT NULL,
    asset_class text NOT NULL,
    as_of timestamptz NOT NULL,
    low float8[] NOT NULL,
    high float8[] NOT NULL,
    counts integer[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (timeframe, model_name, model_version, asset_class, as_of)
);
