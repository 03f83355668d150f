-- The last candle and the last forecast of each symbol and timeframe; NULL if there is none.
-- Parameter: symbols text[]. One index probe per symbol and column, however many rows the tables have.
SELECT
    wanted.symbol,
    (SELECT max(ts) FROM ohlcv_1h WHERE symbol = wanted.symbol AND ts < 'infinity' AND ts > '-infinity') AS candle_1h,
    (SELECT max(ts) FROM ohlcv_1d WHERE symbol = wanted.symbol AND ts < 'infinity' AND ts > '-infinity') AS candle_1d,
    (
        SELECT max(as_of) FROM ml_predictions
        WHERE symbol = wanted.symbol AND timeframe = '1h' AND as_of < 'infinity' AND as_of > '-infinity'
    ) AS forecast_1h,
    (
        SELECT max(as_of) FROM ml_predictions
        WHERE symbol = wanted.symbol AND timeframe = '1d' AND as_of < 'infinity' AND as_of > '-infinity'
    ) AS forecast_1d
FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
ORDER BY wanted.symbol
