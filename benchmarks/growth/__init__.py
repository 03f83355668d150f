"""What a run of many symbols costs beside the model: time and memory of the flows, up to 10,000 symbols."""
