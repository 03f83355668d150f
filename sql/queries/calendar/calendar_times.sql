-- All events whose time of day is stated as known, ordered by source and time.
SELECT event_time, event_type, title, country, currency, symbol, source
FROM economic_calendar
WHERE coalesce(time_known, true) AND isfinite(event_time)
ORDER BY source, event_time, event_type, title, country, currency, symbol
