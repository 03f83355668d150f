-- Events from start (included) to end (excluded), oldest first, including withdrawn ones: whether
-- an event counts depends on the as_of of the reader, who compares withdrawn_at with it.
-- Parameters: start and end timestamptz.
SELECT
    event_time, time_known, scheduled, country, currency, symbol, event_type, title, impact,
    actual::float8, forecast::float8, previous::float8, hawkish_score::float8, source,
    withdrawn_at
FROM economic_calendar
WHERE event_time >= %(start)s::timestamptz AND event_time < %(end)s::timestamptz AND isfinite(event_time)
ORDER BY event_time, event_type, title, country, currency, symbol
