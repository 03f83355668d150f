COPY staged_calendar (
    event_time, time_known, scheduled, country, currency, symbol, event_type, title, impact, actual, forecast, previous,
    hawkish_score, source
) FROM STDIN (FORMAT csv)
