"""Films and label files of any origin as COCO annotations: read, matched, checked, converted, split."""
