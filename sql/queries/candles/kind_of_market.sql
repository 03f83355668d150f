-- Whether there are candles, whether there is a calendar of generated releases alone, and the symbols with candles.
SELECT
    EXISTS (SELECT FROM ohlcv_1m) OR EXISTS (SELECT FROM ohlcv_5m) OR EXISTS (SELECT FROM ohlcv_15m)
        OR EXISTS (SELECT FROM ohlcv_30m) OR EXISTS (SELECT FROM ohlcv_1h) OR EXISTS (SELECT FROM ohlcv_2h)
        OR EXISTS (SELECT FROM ohlcv_4h) OR EXISTS (SELECT FROM ohlcv_1d) OR EXISTS (SELECT FROM ohlcv_1w)
        AS has_candles,
    coalesce((SELECT bool_and(coalesce(source, '') = 'generated') FROM economic_calendar), false) AS is_generated,
    (SELECT coalesce(array_agg(symbol), '{}') FROM instruments) AS symbols
