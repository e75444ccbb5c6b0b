"""COCO's figures with boxes to be ignored as RoiMetric has them."""

from __future__ import annotations

from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from hipdet.coco.ignored import is_ignored


@METRICS.register_module()
class RoiCocoMetric(CocoMetric):
    """``CocoMetric``, but an annotation with ``ignore`` is one with ``iscrowd``: pycocotools takes it for any other.

    Figures of files without ``ignore`` are CocoMetric's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._coco_api is not None:  # None where the labels come with the samples
            for annotation in self._coco_api.dataset["annotations"]:
                annotation["iscrowd"] = int(is_ignored(annotation))
