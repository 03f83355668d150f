-- Deletes some inputs of forecasts of a symbol. Rows that another session holds are left for the next time. The query
-- outdated_inputs.sql is inserted; the parameters are its parameters and n.
WITH outdated AS MATERIALIZED (
    SELECT p.ctid AS place
    {outdated}
    LIMIT %(n)s::bigint
    FOR UPDATE OF p SKIP LOCKED
)
DELETE FROM prediction_inputs WHERE ctid = ANY (ARRAY(SELECT place FROM outdated))
