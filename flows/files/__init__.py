"""Candles and calendars from files, checked and given the columns of the database's tables."""
