-- The name of this transaction's snapshot, which pg_dump reads from, so that the counts are of what it dumps.
SELECT pg_export_snapshot()
