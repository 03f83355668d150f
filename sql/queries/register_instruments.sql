-- One instrument, if nothing is stored of it: what a user changed stays. Parameters: symbol, asset_class, calendar.
INSERT INTO instruments (symbol, asset_class, calendar)
VALUES (%(symbol)s, %(asset_class)s, %(calendar)s)
ON CONFLICT (symbol) DO NOTHING
