-- A role for the inference server that can read the tables that the server reads, and write none. Not a migration,
-- because CREATE ROLE needs a privilege that the owner of the tables may lack. Run it once with psql after the
-- migrations, then give the role a password (ALTER ROLE kronos_server PASSWORD …) and put it into the DATABASE_URL of the
-- server.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'kronos_server') THEN
        CREATE ROLE kronos_server LOGIN;
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO kronos_server', current_schema());
END
$$;

GRANT SELECT ON ohlcv_1m, ohlcv_5m, ohlcv_15m, ohlcv_30m, ohlcv_1h, ohlcv_2h, ohlcv_4h, ohlcv_1d, ohlcv_1w,
    instruments, economic_calendar, ml_predictions, prediction_inputs, flow_runs, symbol_runs, recent_coverage
    TO kronos_server;

-- If row level security is on, a role without a policy sees no rows, and gets no error.
DO $$
DECLARE
    shown text;
BEGIN
    FOREACH shown IN ARRAY ARRAY[
        'ohlcv_1m', 'ohlcv_5m', 'ohlcv_15m', 'ohlcv_30m', 'ohlcv_1h', 'ohlcv_2h', 'ohlcv_4h', 'ohlcv_1d', 'ohlcv_1w',
        'instruments', 'economic_calendar', 'ml_predictions', 'prediction_inputs', 'flow_runs', 'symbol_runs',
        'recent_coverage'
    ] LOOP
        EXECUTE format('DROP POLICY IF EXISTS "kronos select kronos_server" ON %I', shown);
        EXECUTE format(
            'CREATE POLICY "kronos select kronos_server" ON %I FOR SELECT TO kronos_server USING (true)', shown);
    END LOOP;
END
$$;

-- The server cancels a read earlier (KRONOS_DATABASE_TIMEOUT_S); this limit ends the reads of a server that was killed.
-- Raise both if reads take longer.
ALTER ROLE kronos_server SET statement_timeout = '15s';
ALTER ROLE kronos_server SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE kronos_server SET default_transaction_read_only = on;
