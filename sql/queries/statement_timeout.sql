-- For the rest of the transaction; a stricter limit, of the role or the database, stays (0 is none).
SELECT set_config(
    'statement_timeout',
    least(
        %(milliseconds)s,
        nullif(extract(epoch FROM current_setting('statement_timeout')::interval) * 1000, 0)::bigint
    )::text,
    true
)
