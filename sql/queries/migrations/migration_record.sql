-- Sent with the migration in one message, which can have no parameters: the values are inserted as literals.
INSERT INTO kronos_migrations (version, name) VALUES ({version}, {name})
