"""Components for mmengine: data set, transforms, schedule, hooks, loop, checkpoints, config."""

from hipdet import mmcv_lite

mmcv_lite.install()  # mmdet's packages import mmcv._ext
