"""Films and label files of any origin, brought together into COCO annotations."""
