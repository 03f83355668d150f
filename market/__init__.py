"""What all parts agree on: instruments, calendars, candles, channels, envelopes. Imports nothing of ours."""
