"""COCO's figures of the films that were evaluated, with boxes to be ignored as RoiMetric has them."""

from __future__ import annotations

from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS

from hipdet.coco.data_root import in_place
from hipdet.coco.ignored import is_ignored


@METRICS.register_module()
class RoiCocoMetric(CocoMetric):
    """``CocoMetric`` as hipdet's rules have it.

    * `ann_file` is looked for in the data root, see :func:`hipdet.coco.data_root.in_place`.
    * An annotation with ``ignore`` is one with ``iscrowd``: pycocotools takes it for any other.
    * Films of `ann_file` that weren't evaluated are passed over: mmdet's counts the boxes of those that
      :class:`hipdet.datasets.RoiDataset` leaves out as missed.

    Figures of files without either are CocoMetric's.
    """

    def __init__(self, ann_file: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(None if ann_file is None else in_place(ann_file), *args, **kwargs)
        if self._coco_api is not None:  # None where the labels come with the samples
            for annotation in self._coco_api.dataset["annotations"]:
                annotation["iscrowd"] = int(is_ignored(annotation))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures over the films of `results`."""
        self.img_ids = sorted({prediction["img_id"] for _, prediction in results})
        figures: dict[str, float] = super().compute_metrics(results)
        return figures
