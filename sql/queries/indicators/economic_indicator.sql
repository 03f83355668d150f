-- Values of one series for dates from start (included) to end (excluded), with the first date on which each was public:
-- the next business day if none is stored. Parameters: series_id text, start and end timestamptz.
SELECT
    date,
    value::float8,
    coalesce(known_on, date + CASE extract(isodow FROM date) WHEN 5 THEN 3 WHEN 6 THEN 2 ELSE 1 END) AS known_on
FROM economic_indicators
WHERE series_id = %(series_id)s::text
    AND date >= (%(start)s::timestamptz AT TIME ZONE 'UTC')::date
    AND date < %(end)s::timestamptz AT TIME ZONE 'UTC'
    AND isfinite(date)
ORDER BY date, known_on
