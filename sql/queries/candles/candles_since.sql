-- The candles of each symbol from an instant of its own on that began before another one. Identifier: table. Parameters:
-- symbols text[], starts timestamptz[] of equal length, before timestamptz.
SELECT wanted.symbol, c.ts, c.open::float8, c.high::float8, c.low::float8, c.close::float8, c.volume::float8,
    c.amount::float8
FROM unnest(%(symbols)s::text[], %(starts)s::timestamptz[]) AS wanted (symbol, start)
JOIN {table} AS c ON c.symbol = wanted.symbol AND c.ts >= wanted.start AND c.ts < %(before)s::timestamptz
ORDER BY wanted.symbol, c.ts
