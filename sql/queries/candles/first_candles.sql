-- The first candle of each symbol; no row for a symbol without any. Identifier: table. Parameters: symbols text[].
SELECT wanted.symbol, first.ts
FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
CROSS JOIN LATERAL (
    SELECT c.ts FROM {table} AS c WHERE c.symbol = wanted.symbol AND isfinite(c.ts) ORDER BY c.ts LIMIT 1
) AS first
ORDER BY wanted.symbol
