"""Fetches candles and calendars from files, folders and web addresses, and stores them."""
