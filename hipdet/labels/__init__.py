"""Labels of films as annotators' tools write them, in one form: COCO, VOC, LabelMe, CVAT, Label Studio, VIA, YOLO, CSV."""

from hipdet.labels.formats import FORMATS
from hipdet.labels.frame import Frame, decide_frame, turn_upright
from hipdet.labels.read import read_labels
from hipdet.labels.record import FilmLabels, LabelBox

__all__ = ["FORMATS", "FilmLabels", "Frame", "LabelBox", "decide_frame", "read_labels", "turn_upright"]
