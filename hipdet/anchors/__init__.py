"""Anchors read off the data: the paper's section 3.3 as a tool.  numpy only."""

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.rois import Rois
from hipdet.anchors.scales import arithmetic_scales

__all__ = ["AnchorSet", "Rois", "arithmetic_scales"]
