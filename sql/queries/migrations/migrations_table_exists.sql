SELECT to_regclass('kronos_migrations') IS NOT NULL
