"""Kills the parts of a running installation at random moments, and counts the rows that are stored."""
