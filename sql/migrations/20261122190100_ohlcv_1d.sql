-- Daily candles. ts is the session's date at 00:00 UTC; volume and amount may be unknown.
CREATE TABLE IF NOT EXISTS ohlcv_1d (
    symbol text NOT NULL,
    ts timestamptz NOT NULL,
    open float8 NOT NULL,
    high float8 NOT NULL,
    low float8 NOT NULL,
    close float8 NOT NULL,
    volume float8,
    amount float8,
    PRIMARY KEY (symbol, ts)
);

ALTER TABLE ohlcv_1d
    ADD COLUMN IF NOT EXISTS volume float8,
    ADD COLUMN IF NOT EXISTS amount float8;
