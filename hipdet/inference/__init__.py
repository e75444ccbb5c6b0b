"""From films to ROIs: detector, review, crops.  Exports run in onnxruntime; checkpoints need torch and mmdet."""
