"""What a model is trained on: stretches of candles, windows drawn from them, and their event arrays."""
