"""From films and label files of any origin to COCO annotations: read, match, check, convert and split."""
