-- The newest candle of each symbol in one timeframe that began before an instant, where there is one. Identifier: table.
-- Literal: timeframe. Parameters: symbols text[], before timestamptz. Readers join one such query for each timeframe with
-- UNION ALL.
SELECT symbol, {timeframe}::text AS timeframe, ts
FROM (
    SELECT
        wanted.symbol,
        (
            SELECT max(c.ts) FROM {table} AS c
            WHERE c.symbol = wanted.symbol AND c.ts < %(before)s::timestamptz AND c.ts > '-infinity'
        ) AS ts
    FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
) AS newest
WHERE ts IS NOT NULL
