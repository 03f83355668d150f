-- A table that the restored backup does not have, because a later migration makes it.
DROP TABLE IF EXISTS {table}
