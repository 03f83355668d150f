-- The last success of each symbol of a run, in the order of the symbols, so that two runs cannot block each other.
-- Parameters: timeframe, succeeded_at timestamptz, symbols text[], with_events boolean[].
INSERT INTO symbol_runs (timeframe, symbol, succeeded_at, with_events)
SELECT %(timeframe)s::text, new.symbol, %(succeeded_at)s::timestamptz, new.with_events
FROM unnest(%(symbols)s::text[], %(with_events)s::boolean[]) AS new (symbol, with_events)
ORDER BY new.symbol
ON CONFLICT (timeframe, symbol) DO UPDATE SET
    succeeded_at = excluded.succeeded_at,
    with_events = excluded.with_events
