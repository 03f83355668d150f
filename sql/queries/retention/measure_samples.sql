-- How many forecasts have sample paths that may go, and their size in bytes. The query outdated_samples.sql is inserted;
-- the parameters are its parameters.
SELECT count(*), coalesce(sum(pg_column_size(p.samples)), 0)::bigint
{outdated}
