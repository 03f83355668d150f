-- One migrator at a time. Taken before any table is touched, so waiting here (a minute at most) makes nobody wait.
SELECT set_config('lock_timeout', '60s', true), pg_advisory_xact_lock(%(key)s::bigint)
