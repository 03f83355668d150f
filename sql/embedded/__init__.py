"""Runs a Postgres from the binaries of a pip package; `server` has the functions for other packages."""
