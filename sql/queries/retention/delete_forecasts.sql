-- Deletes some forecasts of a symbol with their inputs; their scores stay. Rows that another session holds are left for
-- the next time. The query outdated_forecasts.sql is inserted; the parameters are its parameters and n.
WITH outdated AS MATERIALIZED (
    SELECT p.ctid AS place, p.symbol, p.timeframe, p.as_of, p.model_name
    {outdated}
    LIMIT %(n)s::bigint
    FOR UPDATE OF p SKIP LOCKED
), inputs AS (
    DELETE FROM prediction_inputs AS i
    USING outdated
    WHERE i.symbol = outdated.symbol AND i.timeframe = outdated.timeframe AND i.as_of = outdated.as_of
        AND i.model_name = outdated.model_name
)
DELETE FROM ml_predictions WHERE ctid = ANY (ARRAY(SELECT place FROM outdated))
