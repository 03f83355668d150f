"""Defines Kronos in torch: tokenizer, decoder, EventEncoder and adapter, and loads their weights."""
