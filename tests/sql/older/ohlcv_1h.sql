-- No key, no amount, numeric prices.
CREATE TABLE ohlcv_1h (
    symbol text, ts timestamptz, open numeric(20, 8), high numeric(20, 8), low numeric(20, 8), close numeric(20, 8),
    volume numeric
);
INSERT INTO ohlcv_1h VALUES ('A', '2024-01-01', 1, 2, 0.5, 1.5, 10), ('A', '2024-01-02', 1, 2, 1, 2, NULL);
