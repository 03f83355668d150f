-- The roles among some names that this server lacks. Parameter: names text[].
SELECT wanted FROM unnest(%(names)s::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
ORDER BY wanted
