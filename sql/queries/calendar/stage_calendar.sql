CREATE TEMPORARY TABLE staged_calendar (
    event_time timestamptz, time_known boolean, scheduled boolean, country text, currency text, symbol text,
    event_type text, title text, impact text, actual float8, forecast float8, previous float8, hawkish_score float8,
    source text
) ON COMMIT DROP
