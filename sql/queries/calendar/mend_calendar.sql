-- Marks one event as having a known date but no known time. Parameters: the natural key.
UPDATE economic_calendar
SET time_known = false
WHERE event_time = %(event_time)s::timestamptz
    AND coalesce(event_type, '') = coalesce(%(event_type)s::text, '')
    AND coalesce(title, '') = coalesce(%(title)s::text, '')
    AND coalesce(country, '') = coalesce(%(country)s::text, '')
    AND coalesce(currency, '') = coalesce(%(currency)s::text, '')
    AND coalesce(symbol, '') = coalesce(%(symbol)s::text, '')
