"""Evaluation of detections: matching, metrics and report in numpy; `roi_metric` makes mmdet metrics of them."""
