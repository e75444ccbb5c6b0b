"""Pictures of labels and detections."""
