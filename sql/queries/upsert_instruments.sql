-- One instrument. Parameters: symbol, asset_class, calendar, active (NULL: true for a new one, else as stored).
INSERT INTO instruments AS stored (symbol, asset_class, calendar, active)
VALUES (%(symbol)s, %(asset_class)s, %(calendar)s, coalesce(%(active)s::boolean, true))
ON CONFLICT (symbol) DO UPDATE SET
    asset_class = excluded.asset_class,
    calendar = excluded.calendar,
    active = coalesce(%(active)s::boolean, stored.active)
WHERE (stored.asset_class, stored.calendar, stored.active)
    IS DISTINCT FROM (excluded.asset_class, excluded.calendar, coalesce(%(active)s::boolean, stored.active))
RETURNING stored.xmax = 0 AS inserted
