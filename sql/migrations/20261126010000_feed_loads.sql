-- What the feeds of candles and of the economic calendar gave when they were last loaded, so that an unchanged file is
-- not read again and a shortened one is refused.
-- target: the table that the feed is loaded into. source: a file, or an address without secrets. symbol: '' for what
-- concerns the source as a whole. version: by which an unchanged file is recognised. days and day_rows: number of rows by
-- UTC date.
CREATE TABLE IF NOT EXISTS feed_loads (
    target text NOT NULL,
    source text NOT NULL,
    symbol text NOT NULL,
    version jsonb NOT NULL DEFAULT '{}',
    days date[] NOT NULL DEFAULT '{}',
    day_rows integer[] NOT NULL DEFAULT '{}',
    loaded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (target, source, symbol)
);

-- As the other tables of these migrations: closed to anon and authenticated. Roles that may write the calendar may write
-- this table, too.
DO $$
DECLARE
    open_role text;
    granted record;
BEGIN
    ALTER TABLE feed_loads ENABLE ROW LEVEL SECURITY;
    FOR open_role IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON feed_loads FROM %I', open_role);
    END LOOP;
    FOR granted IN
        SELECT DISTINCT r.rolname AS role
        FROM pg_class AS c, aclexplode(c.relacl) AS g JOIN pg_roles AS r ON r.oid = g.grantee
        WHERE c.oid = 'economic_calendar'::regclass AND g.privilege_type = 'UPDATE' AND g.grantee <> c.relowner
            AND r.rolname NOT IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON feed_loads TO %I', granted.role);
        EXECUTE format('DROP POLICY IF EXISTS %I ON feed_loads', 'kronos all ' || granted.role);
        EXECUTE format('CREATE POLICY %I ON feed_loads TO %I USING (true) WITH CHECK (true)',
            'kronos all ' || granted.role, granted.role);
    END LOOP;
END
$$;
