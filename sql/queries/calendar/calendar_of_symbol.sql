-- Events that concern a symbol, from start (included) to end (excluded), oldest first: releases of its currencies
-- that have high impact or a type that the event array has channels for, and its own earnings. Includes unscheduled
-- events, excludes withdrawn ones.
-- Parameters: symbol, currencies text[], start and end timestamptz, n.
SELECT
    event_time, time_known, scheduled, currency, event_type, title, impact,
    actual::float8, forecast::float8, previous::float8
FROM economic_calendar
WHERE event_time >= %(start)s::timestamptz AND event_time < %(end)s::timestamptz AND isfinite(event_time)
    AND withdrawn_at IS NULL
    AND (
        symbol = %(symbol)s::text
        OR (
            symbol IS NULL AND upper(currency) = ANY (%(currencies)s::text[])
            AND (lower(impact) = 'high' OR (impact IS NULL AND event_type <> 'other'))
        )
    )
ORDER BY event_time, currency, event_type, title
LIMIT %(n)s::bigint
