"""The detector's parts: anchors, head and the second look."""

from hipdet.models.grey_preprocessor import GreyPreprocessor
from hipdet.models.grey_resnet import GreyResNet
from hipdet.models.hip_ssd_head import HipSSDHead
from hipdet.models.mirror_averaging import MirrorAveraging
from hipdet.models.pretrained_weights import PretrainedWeights
from hipdet.models.refining_detector import RefiningDetector
from hipdet.models.roi_refiner import RoiRefiner
from hipdet.models.square_anchor_generator import SquareAnchorGenerator

__all__ = [
    "GreyPreprocessor",
    "GreyResNet",
    "HipSSDHead",
    "MirrorAveraging",
    "PretrainedWeights",
    "RefiningDetector",
    "RoiRefiner",
    "SquareAnchorGenerator",
]
