"""Reads candles and calendars from files, checks them and gives them the columns of the database's tables."""
