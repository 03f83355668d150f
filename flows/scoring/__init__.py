"""Scores stored forecasts against actual closes, and learns calibrations of their envelopes."""
