"""From films to ROIs: detector, review, crops.  Needs numpy, Pillow, tqdm and onnxruntime; torch and mmdet only for checkpoints."""

from hipdet.inference.detector import HipDetector
from hipdet.inference.film_rois import DetectedRoi, FilmRois
from hipdet.inference.review import ReviewLimits

__all__ = ["DetectedRoi", "FilmRois", "HipDetector", "ReviewLimits"]
