"""Readers of the label files of annotation tools: COCO, VOC, LabelMe, CVAT, Label Studio, VIA, YOLO and CSV."""
