-- Remembers what a feed gave. Parameters: target, source, symbol ('' for the source as a whole), version jsonb,
-- days date[], day_rows integer[].
INSERT INTO feed_loads AS stored (target, source, symbol, version, days, day_rows, loaded_at)
VALUES (
    %(target)s::text, %(source)s::text, %(symbol)s::text, %(version)s::jsonb, %(days)s::date[], %(day_rows)s::integer[],
    now()
)
ON CONFLICT (target, source, symbol) DO UPDATE SET
    version = excluded.version, days = excluded.days, day_rows = excluded.day_rows, loaded_at = excluded.loaded_at
