"""A Postgres from a pip package that keeps its data in a folder of this product."""
