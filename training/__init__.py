"""Training of Kronos tokenizers, decoders and event adapters; ``python -m training`` is the way in."""
