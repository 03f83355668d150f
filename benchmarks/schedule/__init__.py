"""Runs a five-minute schedule in real time, and records when each run was due, began, ended and stored."""
