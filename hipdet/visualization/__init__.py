"""Pictures of films with labels and detections, and plots of data sets, tests and trainings."""
