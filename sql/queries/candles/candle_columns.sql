-- The candles that candles.sql returns, with the values of each symbol as arrays: one row per symbol, oldest candle
-- first. The query candles.sql is inserted as the subquery; the parameters are its parameters.
SELECT
    symbol,
    array_agg(ts ORDER BY ts) AS ts,
    array_agg(open ORDER BY ts) AS open,
    array_agg(high ORDER BY ts) AS high,
    array_agg(low ORDER BY ts) AS low,
    array_agg(close ORDER BY ts) AS close,
    array_agg(volume ORDER BY ts) AS volume,
    array_agg(amount ORDER BY ts) AS amount
FROM (
{candles}
) AS candles
GROUP BY symbol
ORDER BY symbol
