-- Decisions of central banks. rate, previous and forecast are the policy rate in percent (the upper bound of the
-- Fed's range); scheduled is false for a decision between meetings.
CREATE TABLE IF NOT EXISTS central_bank_rates (
    bank text NOT NULL,
    decision_time timestamptz NOT NULL,
    time_known boolean NOT NULL DEFAULT true,
    scheduled boolean NOT NULL DEFAULT true,
    rate float8,
    previous float8,
    forecast float8,
    source text,
    PRIMARY KEY (bank, decision_time)
);

ALTER TABLE central_bank_rates
    ADD COLUMN IF NOT EXISTS time_known boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS scheduled boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS rate float8,
    ADD COLUMN IF NOT EXISTS previous float8,
    ADD COLUMN IF NOT EXISTS forecast float8,
    ADD COLUMN IF NOT EXISTS source text;
