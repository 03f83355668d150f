-- Marks claimed forecasts that could not be scored as due. Parameters: timeframe, and symbols text[], as_ofs
-- timestamptz[], model_names text[] of equal length.
UPDATE ml_predictions AS p
SET scored_at = NULL
FROM unnest(%(symbols)s::text[], %(as_ofs)s::timestamptz[], %(model_names)s::text[]) AS wanted (symbol, as_of, model_name)
WHERE p.timeframe = %(timeframe)s::text
    AND p.symbol = wanted.symbol AND p.as_of = wanted.as_of AND p.model_name = wanted.model_name
