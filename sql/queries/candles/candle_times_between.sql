-- Timestamps of the candles of each symbol from one instant to another, both included, oldest first; no row for a symbol
-- without any. Identifier: table. Parameters: symbols text[], first and last timestamptz.
SELECT c.symbol, array_agg(c.ts ORDER BY c.ts) AS ts
FROM {table} AS c
WHERE c.symbol = ANY (%(symbols)s::text[]) AND c.ts BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
    AND isfinite(c.ts)
GROUP BY c.symbol
ORDER BY c.symbol
