-- The last run of each symbol and timeframe that stored its forecast or left it unchanged.
SELECT timeframe, symbol, succeeded_at, with_events FROM symbol_runs
