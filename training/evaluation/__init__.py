"""Evaluates a checkpoint on candles that it was not trained on."""
