"""Pictures of films with labels and detections, and figures of data sets, tests and trainings."""
