"""mmdet's COCO figures of the films that were evaluated."""

from __future__ import annotations

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS


@METRICS.register_module()
class CocoFilmsMetric(CocoMetric):
    """``CocoMetric`` that passes over the films of `ann_file` that weren't evaluated.

    mmdet's counts their boxes as missed: those of films that :class:`hipdet.datasets.RoiDataset` leaves out.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures over the films of `results`."""
        self.img_ids = sorted({prediction["img_id"] for _, prediction in results})
        figures: dict[str, float] = super().compute_metrics(results)
        return figures
