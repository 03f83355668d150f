-- The keys that upserts need, for tables that existed before without them. Where rows break a key, the migration
-- stops, lists the keys and changes nothing. Building an index blocks writers, never readers.
DO $$
DECLARE
    wanted record;
    columns text;
    broken bigint;
    listing text;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('ohlcv_1h', ARRAY['symbol', 'ts']),
            ('ohlcv_1d', ARRAY['symbol', 'ts']),
            ('instruments', ARRAY['symbol']),
            ('central_bank_rates', ARRAY['bank', 'decision_time']),
            ('economic_indicators', ARRAY['series_id', 'date', 'known_on']),
            ('ml_predictions', ARRAY['symbol', 'timeframe', 'as_of', 'model_name'])
        ) AS keys (table_name, key)
    LOOP
        -- A primary key or unique index on the same columns, in any order, is as good.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = wanted.table_name::regclass
                AND i.indisunique AND i.indisvalid AND i.indimmediate
                AND i.indpred IS NULL AND i.indexprs IS NULL
                AND (
                    SELECT array_agg(a.attname::text ORDER BY a.attname)
                    FROM pg_attribute AS a
                    WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                ) = (SELECT array_agg(name ORDER BY name COLLATE "C") FROM unnest(wanted.key) AS name)
        );
        SELECT string_agg(quote_ident(name), ', ' ORDER BY position) INTO columns
        FROM unnest(wanted.key) WITH ORDINALITY AS k (name, position);
        EXECUTE format(
            $query$
            SELECT count(*), string_agg(line, E'\n' ORDER BY number) FILTER (WHERE number <= 50)
            FROM (
                SELECT format('(%%s): %%s rows', concat_ws(', ', %1$s), count(*)) AS line,
                    row_number() OVER (ORDER BY %1$s) AS number
                FROM %2$I WHERE (%1$s) IS NOT NULL GROUP BY %1$s HAVING count(*) > 1
            ) AS repeated
            $query$, columns, wanted.table_name
        ) INTO broken, listing;
        IF broken > 0 THEN
            RAISE EXCEPTION USING
                ERRCODE = 'unique_violation',
                MESSAGE = format('%s keys (%s) of %s stand in more than one row; nothing was changed or deleted',
                    broken, columns, wanted.table_name),
                DETAIL = listing || CASE WHEN broken > 50 THEN format(E'\n… and %s more', broken - 50) ELSE '' END,
                HINT = 'Keep one row of each key, then run the migration again.';
        END IF;
        EXECUTE format('CREATE UNIQUE INDEX %I ON %I (%s)', wanted.table_name || '_row_key', wanted.table_name, columns);
    END LOOP;
END
$$;
