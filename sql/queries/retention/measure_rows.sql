-- How many rows may go, and their size in bytes. One of the queries outdated_inputs.sql and outdated_forecasts.sql is
-- inserted; the parameters are its parameters.
SELECT count(*), coalesce(sum(pg_column_size(p.*)), 0)::bigint
{outdated}
