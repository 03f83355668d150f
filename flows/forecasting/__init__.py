"""What the flow predict-batch is made of, from the universe of symbols to stored rows."""
