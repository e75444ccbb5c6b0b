"""From films to ROIs: detector, review, crops.  Exports run in onnxruntime; checkpoints need torch and mmdet."""

from hipdet.inference.detector import HipDetector
from hipdet.inference.film_rois import DetectedRoi, FilmRois
from hipdet.inference.review import ReviewLimits

__all__ = ["DetectedRoi", "FilmRois", "HipDetector", "ReviewLimits"]
