-- What the scheduled flows did last, for the metrics of GET /metrics/flows: small tables that a run overwrites at its
-- end. flow_runs has a row for each deployment, flow and timeframe. deployment is 'command line' for a run without one,
-- timeframe '' for a flow without one. succeeded_at is the end of the last run that completed. counts has the number of
-- symbols (predict-batch) or forecasts (score-forecasts) by outcome; without_events is the number of forecasts that
-- were made without events.
CREATE TABLE IF NOT EXISTS flow_runs (
    deployment text NOT NULL,
    flow text NOT NULL,
    timeframe text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    state text NOT NULL,
    succeeded_at timestamptz,
    counts jsonb NOT NULL,
    without_events integer,
    PRIMARY KEY (deployment, flow, timeframe)
);

-- The last run that stored a forecast of a symbol or left it unchanged, and whether that forecast has events. Every
-- run updates every row, so each page keeps room for the new versions.
CREATE TABLE IF NOT EXISTS symbol_runs (
    timeframe text NOT NULL,
    symbol text NOT NULL,
    succeeded_at timestamptz NOT NULL,
    with_events boolean NOT NULL,
    PRIMARY KEY (timeframe, symbol)
) WITH (fillfactor = 50);

-- How many closes of the forecasts that matured in the week before computed_at are known and lie within p10 to p90,
-- raw and calibrated.
CREATE TABLE IF NOT EXISTS recent_coverage (
    timeframe text NOT NULL,
    asset_class text NOT NULL,
    model_name text NOT NULL,
    computed_at timestamptz NOT NULL,
    closes bigint NOT NULL,
    covered bigint NOT NULL,
    closes_calibrated bigint NOT NULL,
    covered_calibrated bigint NOT NULL,
    PRIMARY KEY (timeframe, asset_class, model_name)
);

-- As the other tables of these migrations: closed to anon and authenticated. Roles that may write forecasts or scores
-- may write these tables too, and the inference server's role may read them.
DO $$
DECLARE
    name text;
    open_role text;
    granted record;
BEGIN
    FOREACH name IN ARRAY ARRAY['flow_runs', 'symbol_runs', 'recent_coverage'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        FOR open_role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON %I FROM %I', name, open_role);
        END LOOP;
        FOR granted IN
            SELECT DISTINCT r.rolname AS role
            FROM pg_class AS c, aclexplode(c.relacl) AS g JOIN pg_roles AS r ON r.oid = g.grantee
            WHERE c.oid IN ('ml_predictions'::regclass, 'prediction_scores'::regclass)
                AND g.privilege_type = 'UPDATE' AND g.grantee <> c.relowner
                AND r.rolname NOT IN ('anon', 'authenticated')
        LOOP
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', name, granted.role);
            EXECUTE format('DROP POLICY IF EXISTS %I ON %I', 'kronos all ' || granted.role, name);
            EXECUTE format('CREATE POLICY %I ON %I TO %I USING (true) WITH CHECK (true)',
                'kronos all ' || granted.role, name, granted.role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'kronos_server') THEN
            EXECUTE format('GRANT SELECT ON %I TO kronos_server', name);
            EXECUTE format('DROP POLICY IF EXISTS "kronos select kronos_server" ON %I', name);
            EXECUTE format(
                'CREATE POLICY "kronos select kronos_server" ON %I FOR SELECT TO kronos_server USING (true)', name);
        END IF;
    END LOOP;
END
$$;
