"""Kronos in torch: tokenizer, decoder, EventEncoder and adapter, and how their weights are loaded."""
