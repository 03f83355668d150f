"""How good a checkpoint is on candles that it was not trained on."""
