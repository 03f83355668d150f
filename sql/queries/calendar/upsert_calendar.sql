-- Writes the staged events to economic_calendar, keyed on economic_calendar_natural_key. NULLs (the actual in a file
-- from before the release, say) never overwrite stored values. NULL in time_known or scheduled means true for a new row
-- and leaves a stored one unchanged. A withdrawn event that is staged again is no longer withdrawn. Returns the numbers
-- of new and of changed rows.
WITH written AS (
    INSERT INTO economic_calendar AS stored (
        event_time, time_known, scheduled, country, currency, symbol, event_type, title, impact,
        actual, forecast, previous, hawkish_score, source
    )
    SELECT
        s.event_time,
        coalesce(s.time_known, known.time_known, true),
        coalesce(s.scheduled, known.scheduled, true),
        s.country, s.currency, s.symbol, s.event_type, s.title, s.impact,
        s.actual, s.forecast, s.previous, s.hawkish_score, s.source
    FROM staged_calendar AS s
    LEFT JOIN economic_calendar AS known
        ON known.event_time = s.event_time
        AND coalesce(known.event_type, '') = coalesce(s.event_type, '')
        AND coalesce(known.title, '') = coalesce(s.title, '')
        AND coalesce(known.country, '') = coalesce(s.country, '')
        AND coalesce(known.currency, '') = coalesce(s.currency, '')
        AND coalesce(known.symbol, '') = coalesce(s.symbol, '')
    ON CONFLICT (
        event_time, coalesce(event_type, ''), coalesce(title, ''), coalesce(country, ''), coalesce(currency, ''),
        coalesce(symbol, '')
    ) DO UPDATE SET
        time_known = excluded.time_known,
        scheduled = excluded.scheduled,
        impact = coalesce(excluded.impact, stored.impact),
        actual = coalesce(excluded.actual, stored.actual),
        forecast = coalesce(excluded.forecast, stored.forecast),
        previous = coalesce(excluded.previous, stored.previous),
        hawkish_score = coalesce(excluded.hawkish_score, stored.hawkish_score),
        source = coalesce(excluded.source, stored.source),
        withdrawn_at = NULL
    WHERE (
            stored.time_known, stored.scheduled, stored.impact, stored.actual, stored.forecast, stored.previous,
            stored.hawkish_score, stored.source, stored.withdrawn_at
        ) IS DISTINCT FROM (
            excluded.time_known, excluded.scheduled, coalesce(excluded.impact, stored.impact),
            coalesce(excluded.actual, stored.actual), coalesce(excluded.forecast, stored.forecast),
            coalesce(excluded.previous, stored.previous), coalesce(excluded.hawkish_score, stored.hawkish_score),
            coalesce(excluded.source, stored.source), NULL::timestamptz
        )
    RETURNING stored.xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted) AS new, count(*) FILTER (WHERE NOT inserted) AS changed FROM written
