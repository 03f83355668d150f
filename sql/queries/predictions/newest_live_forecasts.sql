-- The as_of of the newest live forecast of each symbol, without symbols that have none. Parameters: symbols text[],
-- timeframe, model_name. One index probe per symbol, however many rows the table has.
SELECT wanted.symbol, newest.as_of
FROM (SELECT DISTINCT unnest(%(symbols)s::text[]) AS symbol) AS wanted
CROSS JOIN LATERAL (
    SELECT p.as_of FROM ml_predictions AS p
    WHERE p.symbol = wanted.symbol AND p.timeframe = %(timeframe)s::text AND p.model_name = %(model_name)s::text
        AND NOT p.backfilled AND isfinite(p.as_of)
    ORDER BY p.as_of DESC
    LIMIT 1
) AS newest
ORDER BY wanted.symbol
