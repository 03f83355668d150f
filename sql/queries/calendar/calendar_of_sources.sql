-- All events of some sources, oldest first. Parameters: sources text[]; unnamed boolean, whether to include events
-- without a source.
SELECT
    event_time, time_known, scheduled, country, currency, symbol, event_type, title, impact,
    actual::float8, forecast::float8, previous::float8, hawkish_score::float8, source, withdrawn_at
FROM economic_calendar
WHERE (source = ANY (%(sources)s::text[]) OR (%(unnamed)s::boolean AND source IS NULL)) AND isfinite(event_time)
ORDER BY event_time, event_type, title, country, currency, symbol
