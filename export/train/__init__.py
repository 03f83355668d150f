"""Training of Kronos tokenizers, decoders and event adapters; ``python -m export.train`` is the way in."""
