-- What the flow score-forecasts has looked at, so that it looks again only at what can have changed.
-- ml_predictions.scored_at: when the forecast was last scored; NULL, or older than updated_at, where it is due.
ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS scored_at timestamptz;

-- The forecasts that are due, by the open of their last candle: a run reads those whose last candle has begun.
CREATE INDEX IF NOT EXISTS ml_predictions_due ON ml_predictions (timeframe, (timestamps[pred_len]))
    WHERE scored_at IS NULL OR scored_at < updated_at;

-- The closes that scores were computed from, to be compared with the candles: NULL where there was none.
-- No scored forecast that has this candle among its steps, or started from it, has an as_of before forecasts_from.
CREATE TABLE IF NOT EXISTS scored_closes (
    timeframe text NOT NULL,
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    close float8,
    forecasts_from timestamptz NOT NULL,
    PRIMARY KEY (timeframe, symbol, ts)
);

CREATE INDEX IF NOT EXISTS scored_closes_missing ON scored_closes (timeframe, symbol) WHERE close IS NULL;

-- The releases that scores were computed from, by UTC day: their times and kinds, '' for a day whose calendar rows are
-- of no tracked kind. symbol is that of earnings, '' for releases of the economy.
CREATE TABLE IF NOT EXISTS scored_releases (
    timeframe text NOT NULL,
    symbol text NOT NULL,
    day date NOT NULL,
    releases text NOT NULL,
    PRIMARY KEY (timeframe, symbol, day)
);

-- as_of beside the maturity: how far back the candles of recent scores reach is read from the index alone.
CREATE INDEX IF NOT EXISTS prediction_scores_maturity ON prediction_scores (timeframe, matured_at) INCLUDE (as_of);
DROP INDEX IF EXISTS prediction_scores_matured;
-- Scores that lack a close are found through scored_closes_missing now.
DROP INDEX IF EXISTS prediction_scores_incomplete;

-- As the other tables of these migrations: closed to anon and authenticated. Roles that may write scores may write
-- these tables, too.
DO $$
DECLARE
    name text;
    open_role text;
    granted record;
BEGIN
    FOREACH name IN ARRAY ARRAY['scored_closes', 'scored_releases'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        FOR open_role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON %I FROM %I', name, open_role);
        END LOOP;
        FOR granted IN
            SELECT DISTINCT r.rolname AS role
            FROM pg_class AS c, aclexplode(c.relacl) AS g JOIN pg_roles AS r ON r.oid = g.grantee
            WHERE c.oid = 'prediction_scores'::regclass AND g.privilege_type = 'UPDATE' AND g.grantee <> c.relowner
                AND r.rolname NOT IN ('anon', 'authenticated')
        LOOP
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', name, granted.role);
            EXECUTE format('DROP POLICY IF EXISTS %I ON %I', 'kronos all ' || granted.role, name);
            EXECUTE format('CREATE POLICY %I ON %I TO %I USING (true) WITH CHECK (true)',
                'kronos all ' || granted.role, name, granted.role);
        END LOOP;
    END LOOP;
END
$$;
