-- One value of a series. Parameters: series_id, date, value, known_on (NULL means the next business day), source.
-- Returns a row if it wrote one.
INSERT INTO economic_indicators AS stored (series_id, date, value, known_on, source)
VALUES (
    %(series_id)s, %(date)s, %(value)s,
    coalesce(
        %(known_on)s::date,
        %(date)s::date + CASE extract(isodow FROM %(date)s::date) WHEN 5 THEN 3 WHEN 6 THEN 2 ELSE 1 END
    ),
    %(source)s
)
ON CONFLICT (series_id, date, known_on) DO UPDATE SET
    value = coalesce(excluded.value, stored.value),
    source = coalesce(excluded.source, stored.source)
WHERE (stored.value, stored.source)
    IS DISTINCT FROM (coalesce(excluded.value, stored.value), coalesce(excluded.source, stored.source))
RETURNING stored.xmax = 0 AS inserted
