"""The parts of the detectors: backbones, anchors, head, refiner and test-time augmentation."""

from hipdet import mmcv_lite

mmcv_lite.install()  # mmdet's packages import mmcv._ext
