-- Sent with the migration in one message, so the values are filled in as literals, not as parameters.
INSERT INTO kronos_migrations (version, name) VALUES ({version}, {name})
