-- The open of the newest candle of each symbol that began before an instant; NULL if there is none. Identifier: table.
-- Parameters: symbols text[], before timestamptz. One index probe for each symbol.
SELECT
    wanted.symbol,
    (
        SELECT max(c.ts) FROM {table} AS c
        WHERE c.symbol = wanted.symbol AND c.ts < %(before)s::timestamptz AND c.ts > '-infinity'
    ) AS ts
FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
ORDER BY wanted.symbol
