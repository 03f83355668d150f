"""Trains Kronos tokenizers, decoders and event adapters: ``python -m training``."""
