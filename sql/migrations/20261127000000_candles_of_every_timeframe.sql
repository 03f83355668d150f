-- Candles of the other timeframes, with the columns of ohlcv_1h. ts is the open of the bar, in ohlcv_1w the date of the
-- week's Monday at 00:00 UTC.
CREATE TABLE IF NOT EXISTS ohlcv_1m (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

CREATE TABLE IF NOT EXISTS ohlcv_5m (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

CREATE TABLE IF NOT EXISTS ohlcv_15m (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

CREATE TABLE IF NOT EXISTS ohlcv_30m (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

CREATE TABLE IF NOT EXISTS ohlcv_2h (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

CREATE TABLE IF NOT EXISTS ohlcv_4h (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

CREATE TABLE IF NOT EXISTS ohlcv_1w (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

-- As the other tables of these migrations: closed to anon and authenticated. Roles that may read or write the hourly
-- candles may do the same here. Tables that were here before the migrations stay as they are.
DO $$
DECLARE
    name text;
    open_role text;
    granted record;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'ohlcv_1m', 'ohlcv_5m', 'ohlcv_15m', 'ohlcv_30m', 'ohlcv_2h', 'ohlcv_4h', 'ohlcv_1w'
    ] LOOP
        CONTINUE WHEN name::regclass::oid < 'kronos_migrations'::regclass::oid;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        FOR open_role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON %I FROM %I', name, open_role);
        END LOOP;
        FOR granted IN
            SELECT r.rolname AS role, g.privilege_type AS privilege
            FROM pg_class AS c, aclexplode(c.relacl) AS g JOIN pg_roles AS r ON r.oid = g.grantee
            WHERE c.oid = 'ohlcv_1h'::regclass AND g.grantee <> c.relowner
                AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                AND r.rolname NOT IN ('anon', 'authenticated')
        LOOP
            EXECUTE format('GRANT %s ON %I TO %I', granted.privilege, name, granted.role);
            EXECUTE format('DROP POLICY IF EXISTS %I ON %I',
                'kronos ' || lower(granted.privilege) || ' ' || granted.role, name);
            EXECUTE format('CREATE POLICY %I ON %I FOR %s TO %I %s',
                'kronos ' || lower(granted.privilege) || ' ' || granted.role, name, granted.privilege, granted.role,
                concat_ws(' ',
                    CASE WHEN granted.privilege <> 'INSERT' THEN 'USING (true)' END,
                    CASE WHEN granted.privilege IN ('INSERT', 'UPDATE') THEN 'WITH CHECK (true)' END));
        END LOOP;
    END LOOP;
END
$$;
