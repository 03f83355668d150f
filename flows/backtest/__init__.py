"""Forecasts of a past period, each from what was known then, and their scores."""
