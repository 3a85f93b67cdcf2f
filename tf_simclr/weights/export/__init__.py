"""Writing networks for others: SavedModel, TFLite, ONNX."""
