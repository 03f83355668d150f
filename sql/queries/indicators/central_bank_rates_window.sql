-- Decisions from start (included) to end (excluded), oldest first. Parameters: start and end timestamptz.
SELECT
    bank, decision_time, time_known, scheduled, rate::float8, previous::float8, forecast::float8, source
FROM central_bank_rates
WHERE decision_time >= %(start)s::timestamptz AND decision_time < %(end)s::timestamptz AND isfinite(decision_time)
ORDER BY decision_time, bank
