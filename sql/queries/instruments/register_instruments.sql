-- One instrument; a row that exists is not changed, because a user may have edited it. Parameters: symbol, asset_class,
-- calendar, model_time_zone.
INSERT INTO instruments (symbol, asset_class, calendar, model_time_zone)
VALUES (%(symbol)s, %(asset_class)s, %(calendar)s, nullif(%(model_time_zone)s::text, 'UTC'))
ON CONFLICT (symbol) DO NOTHING
