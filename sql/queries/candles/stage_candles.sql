CREATE TEMPORARY TABLE staged_candles (
    symbol text, ts timestamptz, open float8, high float8, low float8, close float8, volume float8, amount float8
) ON COMMIT DROP
