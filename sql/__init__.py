"""Every line of SQL, and the small edge that runs it: connections, migrations, the embedded Postgres."""
