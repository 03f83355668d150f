-- How many scored forecasts matured in a span. Parameters: timeframe, matured_after (excluded) and matured_by (included)
-- timestamptz.
SELECT count(*)
FROM prediction_scores
WHERE timeframe = %(timeframe)s::text
    AND matured_at > %(matured_after)s::timestamptz AND matured_at <= %(matured_by)s::timestamptz
