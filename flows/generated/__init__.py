"""Generates a market with candles and releases, for demos and benchmarks without real data."""
