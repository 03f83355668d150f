-- A waiting ALTER TABLE makes every later reader queue behind it, so it gives up after 30 ms and is tried again.
-- The commit does not wait for the disk, because readers wait for the commit; a crash undoes migration and record alike.
SET LOCAL lock_timeout = '30ms';
SET LOCAL synchronous_commit = off;
SET LOCAL statement_timeout = 0;
SET LOCAL client_min_messages = warning;
