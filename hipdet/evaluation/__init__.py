"""How good detections are: matching, metrics and report in numpy; `roi_metric` is mmdet's view of them."""
