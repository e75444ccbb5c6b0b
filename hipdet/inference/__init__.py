"""From films to ROIs: detector, review, crops.  Exports run in an ONNX runtime, checkpoints in ``export.torch_model``."""
