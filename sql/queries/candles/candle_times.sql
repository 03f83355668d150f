-- The times of the last n candles of each symbol that began before an instant: one row per symbol, oldest first; no row
-- for a symbol without candles. Identifier: table. Parameters: symbols text[], n, before timestamptz. Rows with an
-- infinite ts are left out, because Python cannot represent it.
SELECT wanted.symbol, array_agg(latest.ts ORDER BY latest.ts) AS ts
FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
CROSS JOIN LATERAL (
    SELECT c.ts
    FROM {table} AS c
    WHERE c.symbol = wanted.symbol AND c.ts < %(before)s::timestamptz AND c.ts > '-infinity'
    ORDER BY c.ts DESC
    LIMIT %(n)s::bigint
) AS latest
GROUP BY wanted.symbol
ORDER BY wanted.symbol
