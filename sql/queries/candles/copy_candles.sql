COPY staged_candles (symbol, ts, open, high, low, close, volume, amount) FROM STDIN (FORMAT csv)
