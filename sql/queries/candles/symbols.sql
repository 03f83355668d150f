-- The last candle and the last forecast of each symbol in one timeframe, where there is one or the other.
-- Identifier: table. Literal: timeframe. Parameter: symbols text[]. One index probe per symbol and column, however many
-- rows the tables have. The server joins one such query for each timeframe with UNION ALL.
SELECT symbol, {timeframe}::text AS timeframe, candle, forecast
FROM (
    SELECT
        wanted.symbol,
        (
            SELECT max(ts) FROM {table} WHERE symbol = wanted.symbol AND ts < 'infinity' AND ts > '-infinity'
        ) AS candle,
        (
            SELECT max(as_of) FROM ml_predictions
            WHERE symbol = wanted.symbol AND timeframe = {timeframe} AND as_of < 'infinity' AND as_of > '-infinity'
        ) AS forecast
    FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
) AS newest
WHERE candle IS NOT NULL OR forecast IS NOT NULL
