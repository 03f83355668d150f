"""Reads stretches of candles, builds their event arrays, and draws training windows from them."""
