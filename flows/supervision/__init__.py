"""Runs every process of the product on one machine, under supervisord."""
