-- The newest candle of each active instrument; those without candles are left out. Identifier: table. One index probe
-- per instrument, however many rows the table has.
SELECT i.symbol, i.asset_class, i.calendar, newest.ts
FROM instruments AS i
CROSS JOIN LATERAL (
    SELECT c.ts FROM {table} AS c
    WHERE c.symbol = i.symbol AND c.ts < 'infinity' AND c.ts > '-infinity'
    ORDER BY c.ts DESC
    LIMIT 1
) AS newest
WHERE i.active
ORDER BY i.symbol
