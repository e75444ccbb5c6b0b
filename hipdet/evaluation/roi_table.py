"""Every ROI of a test with what was found there, the worst first, as JSON and CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from hipdet.boxes import xywh_to_xyxy
from hipdet.evaluation.matching import UNMATCHED, FilmResult
from hipdet.files import replacing, write_json

CORNERS = ("x0", "y0", "x1", "y1")
FOUND_CORNERS = tuple(f"found_{corner}" for corner in CORNERS)


def roi_rows(
    image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], film: FilmResult, names: Mapping[int, str]
) -> list[dict]:
    """One row per ROI of a film; boxes as x0, y0, x1, y1 in its pixels, of the detection None where there is none.

    `names` are those of the classes by category id.
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
                confidence=round(roi.confidence, 6),
                oracle_iou=round(roi.oracle_iou, 6),
                **dict(zip(CORNERS, xywh_to_xyxy([annotation["bbox"]])[0].round(2).tolist())),
                **dict(zip(FOUND_CORNERS, found)),
            )
        )
    return rows


def extra_rows(image: Mapping[str, Any], film: FilmResult, names: Mapping[int, str]) -> list[dict]:
    """One row per top detection of a film that was matched with no ROI and lies on no ignored box.

    `names` are those of the classes by label.
    """
    others = film.ignored.union(roi.detection for roi in film.rois)
    return [
        dict(
            image_id=image["id"],
            file_name=image["file_name"],  # a film without ROI has no other row
            source=image.get("source", ""),
            label=names.get(int(film.top.labels[index]), ""),
            confidence=round(float(film.top.scores[index]), 4),
            **dict(zip(FOUND_CORNERS, film.top.boxes[index].round(2).tolist())),
        )
        for index in range(len(film.top.scores))
        if index not in others
    ]


def write_table(prefix: str, head: Mapping[str, Any], rois: Sequence[dict], extras: Sequence[dict]) -> None:
    """Write ``<prefix>.roi.json`` (`head`, ``rois``, ``extras``) and ``<prefix>.roi.csv`` (the ROIs)."""
    rois = sorted(rois, key=lambda row: (row["iou"], row["confidence"], row["annotation_id"]))
    write_json(f"{prefix}.roi.json", dict(head, rois=rois, extras=list(extras)))
    with replacing(f"{prefix}.roi.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rois[0]))
        writer.writeheader()
        writer.writerows(rois)
