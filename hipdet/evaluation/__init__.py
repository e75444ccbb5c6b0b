"""How good detections are: matching, metrics and report in numpy; `roi_metric` is mmdet's view of them."""

from hipdet import mmcv_lite

mmcv_lite.install()  # mmdet's packages, which roi_metric imports, import mmcv._ext
