"""COCO's figures on films below the data root."""

from __future__ import annotations

from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from hipdet.coco.data_root import in_place


@METRICS.register_module()
class RoiCocoMetric(CocoMetric):
    """``CocoMetric`` whose `ann_file` is looked for in the data root, see :func:`hipdet.coco.data_root.in_place`."""

    def __init__(self, ann_file: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(None if ann_file is None else in_place(ann_file), *args, **kwargs)
