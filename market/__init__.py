"""Defines instruments, calendars, candles, event channels and envelopes for all other packages."""
