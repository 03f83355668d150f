"""Speed and memory of the engine, beside upstream and beside what the machine can do."""
