-- Later readers of a table wait behind an ALTER TABLE that waits for its lock, so it fails after 30 ms and is tried
-- again. The commit does not wait for the disk, because readers wait for the commit; a crash that loses the migration
-- also loses its record.
SET LOCAL lock_timeout = '30ms';
SET LOCAL synchronous_commit = off;
SET LOCAL statement_timeout = 0;
SET LOCAL client_min_messages = warning;
