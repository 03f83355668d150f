"""Holds all SQL of the product, and connects to the database, migrates it, and runs the embedded Postgres."""
