-- One instrument. Parameters: symbol, asset_class, calendar, active (NULL: true for a new one, else as stored).
INSERT INTO instruments AS stored (symbol, asset_class, calendar, active)
VALUES (%(symbol)s, %(asset_class)s, %(calendar)s, coalesce(%(active)s::boolean, true))
ON CONFLICT (symbol) DO UPDATE SET
    asset_class = excluded.asset_class,
    calendar = excluded.calendar,
    active = coalesce(%(active)s::boolean, stored.active)
