"""Measures what a precision other than float32 costs in accuracy."""
