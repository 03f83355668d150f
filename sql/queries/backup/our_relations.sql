-- The relations among some names that exist where the migrations made them, tables first. Parameter: names text[].
SELECT n.nspname AS schema, c.relname AS name, c.relkind IN ('r', 'p') AS is_table
FROM unnest(%(names)s::text[]) AS wanted
JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(wanted))
JOIN pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY is_table DESC, c.relname
