-- Symbols whose scores are older than the table scored_closes. Parameters: timeframe, symbols text[] to choose from.
SELECT symbol FROM unnest(%(symbols)s::text[]) AS known (symbol)
WHERE EXISTS (SELECT FROM prediction_scores AS s WHERE s.symbol = known.symbol AND s.timeframe = %(timeframe)s::text)
    AND NOT EXISTS (SELECT FROM scored_closes AS t WHERE t.symbol = known.symbol AND t.timeframe = %(timeframe)s::text)
ORDER BY symbol
