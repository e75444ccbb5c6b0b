"""From films to ROIs: detector, review, crops.  Exports run in onnxruntime, checkpoints in ``export.torch_model``."""
