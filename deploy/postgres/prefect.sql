-- The database of the Prefect server, made when Postgres starts for the first time.
CREATE DATABASE prefect;
