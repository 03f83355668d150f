-- Supabase serves every table of the schema to the internet, as anon and authenticated, to which its default
-- privileges grant everything. So the tables that these migrations made get row level security, and nothing of theirs
-- stays granted to those two. Their owner, superusers and roles with BYPASSRLS (service_role) see all rows as before;
-- every other role that holds a privilege now gets a policy for it, so that it goes on seeing and writing all rows.
-- Tables that were here before the migrations belong to somebody else: they stay as they are, and are named where
-- anon or authenticated can use them. They are older than kronos_migrations, which is made first, and so are their OIDs.
DO $$
DECLARE
    names CONSTANT text[] := ARRAY[
        'ohlcv_1h', 'ohlcv_1d', 'instruments', 'economic_calendar', 'central_bank_rates', 'economic_indicators',
        'ml_predictions', 'prediction_inputs', 'prediction_scores', 'prediction_calibration', 'kronos_migrations'
    ];
    view_name CONSTANT text := 'prediction_score_steps';
    open_roles CONSTANT text[] := ARRAY(SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated'));
    first CONSTANT oid := 'kronos_migrations'::regclass;
    ours record;
    granted record;
    everybody CONSTANT text := '(current_user <> ALL (ARRAY[''anon'', ''authenticated'']::name[]))';
    left_open text[] := '{}';
BEGIN
    -- Whoever may read the view has read through it so far: from now on a view asks with the rights of its reader.
    IF current_setting('server_version_num')::int >= 150000 THEN
        FOR granted IN
            SELECT g.grantee, quote_ident(r.rolname) AS role
            FROM pg_class AS c, aclexplode(c.relacl) AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
            WHERE c.oid = view_name::regclass AND g.privilege_type = 'SELECT' AND g.grantee <> c.relowner
                AND coalesce(r.rolname <> ALL (open_roles), true)
        LOOP
            EXECUTE format('GRANT SELECT ON prediction_scores TO %s', coalesce(granted.role, 'PUBLIC'));
        END LOOP;
        EXECUTE format('ALTER VIEW %I SET (security_invoker = true)', view_name);
    END IF;

    FOR ours IN
        SELECT c.oid, c.relname, c.relowner, c.relacl FROM unnest(names) AS name
        JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(name))
        ORDER BY c.relname
    LOOP
        IF ours.oid < first THEN
            IF EXISTS (
                SELECT FROM unnest(open_roles) AS role
                WHERE has_table_privilege(role, ours.oid, 'SELECT, INSERT, UPDATE, DELETE')
            ) AND NOT (SELECT relrowsecurity FROM pg_class WHERE oid = ours.oid) THEN
                left_open := left_open || ours.relname::text;
            END IF;
            CONTINUE;
        END IF;
        FOR granted IN
            SELECT coalesce(quote_ident(r.rolname), 'PUBLIC') AS role, g.privilege_type AS privilege,
                r.rolname IS NULL AS is_public
            FROM aclexplode(ours.relacl) AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
            WHERE g.grantee <> ours.relowner AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                AND coalesce(r.rolname <> ALL (open_roles) AND NOT r.rolsuper AND NOT r.rolbypassrls, true)
        LOOP
            EXECUTE format('DROP POLICY IF EXISTS %I ON %I',
                'kronos ' || lower(granted.privilege) || ' ' || granted.role, ours.relname);
            EXECUTE format('CREATE POLICY %I ON %I FOR %s TO %s %s',
                'kronos ' || lower(granted.privilege) || ' ' || granted.role, ours.relname, granted.privilege,
                granted.role,
                concat_ws(' ',
                    CASE WHEN granted.privilege <> 'INSERT'
                        THEN 'USING ' || CASE WHEN granted.is_public THEN everybody ELSE '(true)' END END,
                    CASE WHEN granted.privilege IN ('INSERT', 'UPDATE')
                        THEN 'WITH CHECK ' || CASE WHEN granted.is_public THEN everybody ELSE '(true)' END END));
        END LOOP;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', ours.relname);
        IF open_roles <> '{}' THEN
            EXECUTE format('REVOKE ALL ON %I FROM %s', ours.relname,
                (SELECT string_agg(quote_ident(role), ', ') FROM unnest(open_roles) AS role));
        END IF;
    END LOOP;

    IF open_roles <> '{}' THEN
        EXECUTE format('REVOKE ALL ON %I FROM %s', view_name,
            (SELECT string_agg(quote_ident(role), ', ') FROM unnest(open_roles) AS role));
        FOR ours IN
            SELECT s.relname FROM pg_depend AS d
            JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
            JOIN pg_class AS t ON t.oid = d.refobjid
            WHERE d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                AND t.relname = ANY (names) AND t.oid > first
        LOOP
            EXECUTE format('REVOKE ALL ON SEQUENCE %I FROM %s', ours.relname,
                (SELECT string_agg(quote_ident(role), ', ') FROM unnest(open_roles) AS role));
        END LOOP;
    END IF;
    IF left_open <> '{}' THEN
        RAISE WARNING 'anon or authenticated can use %, which were here before: they stay as they are; '
            'see "On Supabase" in docs/operations.md', array_to_string(left_open, ', ');
    END IF;
END
$$;
