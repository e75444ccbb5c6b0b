"""The final table of a run, for the eye and as JSON."""

from __future__ import annotations

from collections.abc import Mapping

ROWS = (
    ("roi/avg_iou", "average IoU"),
    ("roi/min_iou", "minimum IoU"),
    ("roi/avg_conf", "average confidence"),
    ("roi/min_conf", "minimum confidence"),
    ("roi/acc50", 'ROIs with IoU >= 0.5 (the paper\'s "AP50")'),
    ("roi/acc75", "ROIs with IoU >= 0.75"),
    ("roi/below50", "ROIs with IoU < 0.5"),
    ("roi/extra_per_image", "extra detections per image"),
    ("roi/missed_per_image", "missed ROIs per image"),
    ("roi/oracle_avg_iou", "average IoU, best per ground truth (oracle)"),
    ("roi/oracle_acc50", "IoU >= 0.5, best per ground truth (oracle)"),
    ("coco/bbox_mAP", "COCO mAP"),
    ("coco/bbox_mAP_50", "COCO AP50"),
    ("coco/bbox_mAP_75", "COCO AP75"),
)
COUNTS = {"roi/below50"}


def table(figures: Mapping[str, float]) -> str:
    """`figures` of RoiMetric and CocoMetric as lines of text; what wasn't measured is left out."""
    images, rois = figures.get("roi/num_images"), figures.get("roi/num_rois")
    lines = [] if images is None or rois is None else [f"{images:.0f} films, {rois:.0f} ROIs"]
    for key, title in ROWS:
        if key in figures:
            lines.append(f"{title:<46}{figures[key]:>8.{0 if key in COUNTS else 4}f}")
        for of_class in figures:
            if of_class.startswith(f"{key}/"):
                lines.append(f"{f'  {of_class[len(key) + 1 :]}':<46}{figures[of_class]:>8.4f}")
    return "\n".join(lines)
