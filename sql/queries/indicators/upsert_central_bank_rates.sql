-- One decision. Parameters: all columns. NULLs never overwrite stored values. Returns a row if it wrote one.
INSERT INTO central_bank_rates AS stored (bank, decision_time, time_known, scheduled, rate, previous, forecast, source)
VALUES (
    %(bank)s, %(decision_time)s, coalesce(%(time_known)s::boolean, true), coalesce(%(scheduled)s::boolean, true),
    %(rate)s, %(previous)s, %(forecast)s, %(source)s
)
ON CONFLICT (bank, decision_time) DO UPDATE SET
    time_known = coalesce(%(time_known)s::boolean, stored.time_known),
    scheduled = coalesce(%(scheduled)s::boolean, stored.scheduled),
    rate = coalesce(excluded.rate, stored.rate),
    previous = coalesce(excluded.previous, stored.previous),
    forecast = coalesce(excluded.forecast, stored.forecast),
    source = coalesce(excluded.source, stored.source)
WHERE (stored.time_known, stored.scheduled, stored.rate, stored.previous, stored.forecast, stored.source)
    IS DISTINCT FROM (
        coalesce(%(time_known)s::boolean, stored.time_known), coalesce(%(scheduled)s::boolean, stored.scheduled),
        coalesce(excluded.rate, stored.rate), coalesce(excluded.previous, stored.previous),
        coalesce(excluded.forecast, stored.forecast), coalesce(excluded.source, stored.source)
    )
RETURNING stored.xmax = 0 AS inserted
