-- The natural key of a calendar row, so that loading a file twice changes nothing and a corrected actual finds its
-- row. An expression index, because columns that say where an event belongs may be NULL (NULLS NOT DISTINCT needs
-- Postgres 15). Where rows break the key, the migration stops, lists them and changes nothing.
DO $$
DECLARE
    broken bigint;
    listing text;
BEGIN
    SELECT count(*), string_agg(line, E'\n' ORDER BY number) FILTER (WHERE number <= 50)
    INTO broken, listing
    FROM (
        SELECT format('(%s): %s rows', concat_ws(', ', event_time, event_type, title, country, currency, symbol), count(*))
                AS line,
            row_number() OVER (ORDER BY event_time, event_type, title, country, currency, symbol) AS number
        FROM economic_calendar
        WHERE to_regclass('economic_calendar_natural_key') IS NULL
        GROUP BY event_time, event_type, title, country, currency, symbol
        HAVING count(*) > 1
    ) AS repeated;
    IF broken > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'unique_violation',
            MESSAGE = format('%s events of economic_calendar (event_time, event_type, title, country, currency, symbol) '
                'stand in more than one row; nothing was changed or deleted', broken),
            DETAIL = listing || CASE WHEN broken > 50 THEN format(E'\n… and %s more', broken - 50) ELSE '' END,
            HINT = 'Keep one row of each event, then run the migration again.';
    END IF;
END
$$;

CREATE UNIQUE INDEX IF NOT EXISTS economic_calendar_natural_key ON economic_calendar (
    event_time,
    coalesce(event_type, ''),
    coalesce(title, ''),
    coalesce(country, ''),
    coalesce(currency, ''),
    coalesce(symbol, '')
);
