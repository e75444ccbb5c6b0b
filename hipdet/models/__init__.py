"""The detector's parts: anchors, head and the second look."""

from hipdet import mmcv_lite

mmcv_lite.install()  # mmdet's packages import mmcv._ext
