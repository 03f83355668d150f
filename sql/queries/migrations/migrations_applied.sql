SELECT version, applied_at FROM kronos_migrations ORDER BY version
