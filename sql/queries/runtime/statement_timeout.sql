-- Limits the statements in the rest of the transaction; a shorter limit of the role or the database stays (0 means
-- none). Parameter: milliseconds.
SELECT set_config(
    'statement_timeout',
    least(
        %(milliseconds)s,
        nullif(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000, 0)::bigint
    )::text,
    true
)
