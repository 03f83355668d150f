-- Writes the staged candles to a table of candles. NULL volumes and amounts never overwrite stored ones.
-- Identifier: table. Returns the numbers of new and of changed rows (xmax is 0 in a row that this statement inserted).
WITH written AS (
    INSERT INTO {table} AS stored (symbol, ts, open, high, low, close, volume, amount)
    SELECT symbol, ts, open, high, low, close, volume, amount FROM staged_candles
    ON CONFLICT (symbol, ts) DO UPDATE SET
        open = excluded.open,
        high = excluded.high,
        low = excluded.low,
        close = excluded.close,
        volume = coalesce(excluded.volume, stored.volume),
        amount = coalesce(excluded.amount, stored.amount)
    WHERE (stored.open, stored.high, stored.low, stored.close, stored.volume, stored.amount)
        IS DISTINCT FROM (
            excluded.open, excluded.high, excluded.low, excluded.close,
            coalesce(excluded.volume, stored.volume), coalesce(excluded.amount, stored.amount)
        )
    RETURNING stored.xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted) AS new, count(*) FILTER (WHERE NOT inserted) AS changed FROM written
