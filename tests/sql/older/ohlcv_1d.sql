-- A serial number as primary key, a unique key in the order ts, symbol, no volume and no amount.
CREATE TABLE ohlcv_1d (
    id bigserial PRIMARY KEY, symbol varchar(20) NOT NULL, ts timestamptz NOT NULL,
    open float8, high float8, low float8, close float8,
    UNIQUE (ts, symbol)
);
INSERT INTO ohlcv_1d (symbol, ts, open, high, low, close) VALUES ('A', '2024-01-01', 1, 2, 0.5, 1.5);
