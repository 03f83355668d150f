-- What a feed gave when it was last loaded. Parameters: target, source, symbol ('' for the source as a whole).
SELECT version, days, day_rows
FROM feed_loads
WHERE target = %(target)s::text AND source = %(source)s::text AND symbol = %(symbol)s::text
