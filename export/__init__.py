"""Kronos checkpoints and an EventEncoder, turned into ONNX bundles (torch side)."""
