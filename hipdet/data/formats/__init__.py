"""Labels of films as annotators' tools write them, in one form: COCO, VOC, LabelMe, CVAT, Label Studio, VIA, YOLO, CSV."""
