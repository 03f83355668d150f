-- Lets one process at a time migrate. Taken before any table is locked, so that a process that waits here (a minute at
-- most) blocks no reader.
SELECT set_config('lock_timeout', '60s', true), pg_advisory_xact_lock(%(key)s::bigint)
