"""The detector's parts: anchors and head."""

from hipdet.models.hip_ssd_head import HipSSDHead
from hipdet.models.pretrained_weights import PretrainedWeights
from hipdet.models.square_anchor_generator import SquareAnchorGenerator

__all__ = ["HipSSDHead", "PretrainedWeights", "SquareAnchorGenerator"]
