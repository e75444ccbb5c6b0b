"""The table of metrics of a run, and every ROI of a test with its detection, worst first, as JSON and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hipdet.core.boxes import xywh_to_xyxy
from hipdet.core.files import write_json
from hipdet.core.tables import write_rows
from hipdet.evaluation.matching import UNMATCHED, FilmResult

ROWS = (
    ("roi/avg_iou", "average IoU"),
    ("roi/min_iou", "minimum IoU"),
    ("roi/avg_conf", "average score"),
    ("roi/min_conf", "minimum score"),
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
CORNERS = ("x0", "y0", "x1", "y1")
FOUND_CORNERS = tuple(f"found_{corner}" for corner in CORNERS)


def metrics_table(metrics: Mapping[str, float]) -> str:
    """The metrics of RoiMetric and RoiCocoMetric as lines of text; metrics that weren't measured are left out."""
    images, rois = metrics.get("roi/num_images"), metrics.get("roi/num_rois")
    lines = [] if images is None or rois is None else [f"{images:.0f} films, {rois:.0f} ROIs"]
    for key, title in ROWS:
        if key in metrics:
            lines.append(f"{title:<46}{metrics[key]:>8.{0 if key in COUNTS else 4}f}")
        for of_class in metrics:
            if of_class.startswith(f"{key}/"):
                lines.append(f"{f'  {of_class[len(key) + 1 :]}':<46}{metrics[of_class]:>8.4f}")
    return "\n".join(lines)


def roi_rows(
    image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], film: FilmResult, names: Mapping[int, str]
) -> list[dict]:
    """One row per ROI of a film; boxes are x0, y0, x1, y1 in its pixels, None in place of a missing detection.

    `names` are the class names by category id.
    """
    rows = []
    for annotation, roi in zip(annotations, film.rois):
        found = [None] * 4 if roi.detection == UNMATCHED else film.top.boxes[roi.detection].round(2).tolist()
        rows.append(
            dict(
                image_id=image["id"],
                file_name=image["file_name"],
                source=image.get("source", ""),
                annotation_id=annotation["id"],
                label=names[annotation["category_id"]],
                iou=round(roi.iou, 6),
                confidence=round(roi.score, 6),
                oracle_iou=round(roi.oracle_iou, 6),
                **dict(zip(CORNERS, xywh_to_xyxy([annotation["bbox"]])[0].round(2).tolist())),
                **dict(zip(FOUND_CORNERS, found)),
            )
        )
    return rows


def extra_rows(
    image: Mapping[str, Any], film: FilmResult, names: Mapping[int, str], on_ignored: bool = False
) -> list[dict]:
    """One row per top detection of a film that was matched with no ROI and lies on no ignored box.

    With `on_ignored` those that were matched with no ROI and lie on one.  `names` are the class names by class index.
    """
    matched = {roi.detection for roi in film.rois}
    others = matched | (set(range(len(film.top.scores))) - film.ignored if on_ignored else film.ignored)
    return [
        dict(
            image_id=image["id"],
            file_name=image["file_name"],  # a film without ROIs has no other row
            source=image.get("source", ""),
            label=names.get(int(film.top.labels[index]), ""),
            confidence=round(float(film.top.scores[index]), 4),
            **dict(zip(FOUND_CORNERS, film.top.boxes[index].round(2).tolist())),
        )
        for index in range(len(film.top.scores))
        if index not in others
    ]


def write_roi_table(prefix: str, head: Mapping[str, Any], rois: Sequence[dict], extras: Sequence[dict]) -> None:
    """Write ``<prefix>.roi.json`` (`head`, ``rois``, ``extras``) and ``<prefix>.roi.csv`` (the ROIs)."""
    rois = sorted(rois, key=lambda row: (row["iou"], row["confidence"], row["annotation_id"]))
    write_json(f"{prefix}.roi.json", dict(head, rois=rois, extras=list(extras)))
    write_rows(Path(f"{prefix}.roi.csv"), rois)
