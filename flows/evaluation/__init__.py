"""Evaluates back-tests: scores beside the baselines, the effect of events, returns, answers and a report."""
