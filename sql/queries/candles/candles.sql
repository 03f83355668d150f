-- The last n candles of each symbol that began before an instant. Identifier: table. Parameters: symbols text[], n,
-- before timestamptz. Rows with an infinite ts are left out, because Python cannot represent it.
SELECT wanted.symbol, latest.ts, latest.open, latest.high, latest.low, latest.close, latest.volume, latest.amount
FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
CROSS JOIN LATERAL (
    SELECT
        c.ts, c.open::float8, c.high::float8, c.low::float8, c.close::float8, c.volume::float8, c.amount::float8
    FROM {table} AS c
    WHERE c.symbol = wanted.symbol AND c.ts < %(before)s::timestamptz AND c.ts > '-infinity'
    ORDER BY c.ts DESC
    LIMIT %(n)s::bigint
) AS latest
ORDER BY wanted.symbol, latest.ts
