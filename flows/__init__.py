"""Prefect flows: candles and calendar in, event-conditioned forecasts stored."""
