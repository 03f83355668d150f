-- Which of some timeframes have forecasts of a live run. Parameter: timeframes text[].
SELECT wanted.timeframe
FROM unnest(%(timeframes)s::text[]) AS wanted (timeframe)
WHERE EXISTS (SELECT FROM symbol_runs AS r WHERE r.timeframe = wanted.timeframe)
