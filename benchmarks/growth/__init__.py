"""What a run of many symbols costs beside the model: time and memory of the flow predict-batch."""
