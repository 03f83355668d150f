-- One row per forecast. as_of is the open of the last candle used; timestamps, p10, p50 and p90 have pred_len entries.
CREATE TABLE IF NOT EXISTS ml_predictions (
    symbol text NOT NULL,
    timeframe text NOT NULL,
    as_of timestamptz NOT NULL,
    model_name text NOT NULL,
    model_version text,
    pred_len integer NOT NULL,
    timestamps timestamptz[] NOT NULL,
    p10 float8[] NOT NULL,
    p50 float8[] NOT NULL,
    p90 float8[] NOT NULL,
    seed bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    PRIMARY KEY (symbol, timeframe, as_of, model_name)
);

-- updated_at gets its default in a step of its own, so that rows that were here before keep NULL: nothing is known.
ALTER TABLE ml_predictions
    ADD COLUMN IF NOT EXISTS model_version text,
    ADD COLUMN IF NOT EXISTS pred_len integer,
    ADD COLUMN IF NOT EXISTS timestamps timestamptz[],
    ADD COLUMN IF NOT EXISTS seed bigint,
    ADD COLUMN IF NOT EXISTS created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN IF NOT EXISTS updated_at timestamptz;

ALTER TABLE ml_predictions ALTER COLUMN updated_at SET DEFAULT now();
