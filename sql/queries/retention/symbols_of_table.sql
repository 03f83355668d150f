-- The symbols in a table whose key begins with symbol, each found by one probe of the index: reading the distinct ones
-- would read every row. Identifier: table.
WITH RECURSIVE found AS (
    (SELECT symbol FROM {table} ORDER BY symbol LIMIT 1)
    UNION ALL
    SELECT (SELECT t.symbol FROM {table} AS t WHERE t.symbol > found.symbol ORDER BY t.symbol LIMIT 1)
    FROM found
    WHERE found.symbol IS NOT NULL
)
SELECT symbol FROM found WHERE symbol IS NOT NULL
