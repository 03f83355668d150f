"""The server that answers forecasts from an ONNX bundle; imports neither torch nor Prefect."""
