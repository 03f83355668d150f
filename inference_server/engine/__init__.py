"""Runs a bundle on ONNX Runtime with continuous batching. Imports neither HTTP nor the database."""
