-- Deletes the sample paths of some forecasts; the forecasts and their scores stay. Rows that another session holds are
-- left for the next time. The query outdated_samples.sql is inserted; the parameters are its parameters and n.
WITH outdated AS MATERIALIZED (
    SELECT p.ctid AS place
    {outdated}
    LIMIT %(n)s::bigint
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE ml_predictions SET samples = NULL WHERE ctid = ANY (ARRAY(SELECT place FROM outdated))
