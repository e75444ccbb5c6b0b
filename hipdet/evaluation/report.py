"""The table of metrics of a run, and every ROI of a test with its detection, worst first: written, and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hipdet.core.annotations import KIND, UNKNOWN, VIEW, group_of, source_of
from hipdet.core.boxes import xywh_to_xyxy
from hipdet.core.files import write_json
from hipdet.core.records import MAX_SIDE, Record, read_json
from hipdet.core.spacing import PLANE, read_spacing
from hipdet.core.tables import write_rows
from hipdet.evaluation.matching import UNMATCHED, FilmResult
from hipdet.evaluation.metrics import placement_errors

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
    ("roi/recall", "recall: labels with an ROI, IoU >= 0.5"),
    ("roi/label_iou", "average IoU, best ROI or candidate per label"),
    ("roi/false_per_film", "false ROIs per film"),
    ("roi/num_matched", "ROIs with a detection"),
    ("roi/centre_error", "centre error, ROI sides"),
    ("roi/centre_error_p95", "centre error, 95th percentile"),
    ("roi/size_error", "size error, ROI sides"),
    ("roi/size_error_p95", "size error, 95th percentile"),
    ("roi/num_mm", "ROIs on films with a spacing"),
    ("roi/num_mm_matched", "ROIs on such films with a detection"),
    ("roi/centre_mm", "centre error, mm"),
    ("roi/centre_mm_p95", "centre error, mm, 95th percentile"),
    ("roi/size_mm", "size error, mm"),
    ("roi/size_mm_p95", "size error, mm, 95th percentile"),
    ("roi/within_2mm", "centre within 2 mm, of ROIs with a spacing"),
    ("roi/oracle_avg_iou", "average IoU, best per ground truth (oracle)"),
    ("roi/oracle_acc50", "IoU >= 0.5, best per ground truth (oracle)"),
    ("coco/bbox_mAP", "COCO mAP"),
    ("coco/bbox_mAP_50", "COCO AP50"),
    ("coco/bbox_mAP_75", "COCO AP75"),
)
COUNTS = {"roi/below50", "roi/num_matched", "roi/num_mm", "roi/num_mm_matched"}
CORNERS = ("x0", "y0", "x1", "y1")
FOUND_CORNERS = tuple(f"found_{corner}" for corner in CORNERS)


def metrics_table(metrics: Mapping[str, float]) -> str:
    """The metrics of RoiMetric and RoiCocoMetric as lines of text; metrics that weren't measured are left out."""
    images, rois = metrics.get("roi/num_images"), metrics.get("roi/num_rois")
    lines = [] if images is None or rois is None else [f"{images:.0f} films, {rois:.0f} ROIs"]
    for key, title in ROWS:
        digits = 0 if key in COUNTS else 4
        if key in metrics:
            lines.append(f"{title:<46}{metrics[key]:>8.{digits}f}")
        for of_class in metrics:
            if of_class.startswith(f"{key}/"):
                name = of_class[len(key) + 1 :]
                rois = metrics.get(f"roi/num_rois/{name}")  # of a kind or view
                title = f"  {name}" if rois is None else f"  {name}, {rois:.0f} ROIs"
                lines.append(f"{title:<46}{metrics[of_class]:>8.{digits}f}")
    return "\n".join(lines)


def roi_rows(
    image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], film: FilmResult, names: Mapping[int, str]
) -> list[dict]:
    """One row per ROI of a film; boxes are x0, y0, x1, y1 in its pixels, None in place of a missing detection.

    `names` are the class names by category id.  How far a detection is off is told from the label's part on the film.
    """
    rows, spacing = [], read_spacing(Record(image, image["file_name"]))
    for annotation, roi in zip(annotations, film.rois):
        label, found, errors = xywh_to_xyxy([annotation["bbox"]])[0], [None] * 4, dict[str, float]()
        if roi.detection != UNMATCHED:
            box = film.top.boxes[roi.detection]
            found = box.round(2).tolist()
            errors = placement_errors(label.clip(0, [image["width"], image["height"]] * 2), box, spacing)
        rows.append(
            dict(
                image_id=image["id"],
                file_name=image["file_name"],
                source=source_of(image),
                annotation_id=annotation["id"],
                label=names[annotation["category_id"]],
                iou=round(roi.iou, 6),
                confidence=round(roi.score, 6),
                oracle_iou=round(roi.oracle_iou, 6),
                **{key: own[key] for own, key in ((annotation, KIND), (image, VIEW)) if group_of(own, key) != UNKNOWN},
                **dict(zip(CORNERS, label.round(2).tolist())),
                **dict(zip(FOUND_CORNERS, found)),
                best_iou=round(roi.best_iou, 6),  # of label_iou
                **{name: round(error, 6) for name, error in errors.items()},
                **({PLANE: spacing.plane} if spacing else {}),
            )
        )
    return rows


PLACEMENT = ("centre_error", "size_error", "centre_mm", "size_mm")
WITHIN = 2.0  # mm, by which landmark papers rank


def placement_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How far off detections are; a metric without ROIs is left out.

    Args:
        rows: Rows of :func:`roi_rows`, also of older ones, which lack errors.

    Returns:
        Mean and 95th percentile of the errors in ROI sides over the ``num_matched`` ROIs that have a detection, and in mm
        over the ``num_mm_matched`` of these whose film has a spacing.  ``within_2mm``, the share of centre errors up to 2 mm,
        is of all ``num_mm`` ROIs on these films: one without a detection isn't within.  ``num_mm/plane=<plane>`` says how
        many of them have their mm in which plane.
    """
    known = {name: [row[name] for row in rows if name in row] for name in PLACEMENT}
    metrics = {"num_matched": float(len(known["centre_error"]))}
    for name, values in known.items():
        if values:
            metrics.update({name: float(np.mean(values)), f"{name}_p95": float(np.percentile(values, 95))})
    if planes := Counter(row[PLANE] for row in rows if PLANE in row):
        within = sum(value <= WITHIN for value in known["centre_mm"]) / planes.total()
        metrics.update(within_2mm=within, num_mm=float(planes.total()), num_mm_matched=float(len(known["centre_mm"])))
        metrics.update((f"num_mm/plane={plane}", float(count)) for plane, count in sorted(planes.items()))
    return metrics


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
            source=source_of(image),
            label=names.get(int(film.top.labels[index]), ""),
            confidence=round(float(film.top.scores[index]), 4),
            **dict(zip(FOUND_CORNERS, film.top.boxes[index].round(2).tolist())),
        )
        for index in range(len(film.top.scores))
        if index not in others
    ]


def write_roi_table(prefix: str, head: Mapping[str, Any], rois: Sequence[dict], extras: Sequence[dict]) -> None:
    """Write ``<prefix>.roi.json`` (`head`, ``rois``, ``extras``) and ``<prefix>.roi.csv`` (the ROIs).

    `head` may have ``ignored``, rows as `extras` of detections on ignored boxes.
    """
    rois = sorted(rois, key=lambda row: (row["iou"], row["confidence"], row["annotation_id"]))
    write_json(f"{prefix}.roi.json", dict(head, rois=rois, extras=list(extras)))
    write_rows(Path(f"{prefix}.roi.csv"), rois)


TABLE_EXPECTED, REPORT_EXPECTED = "test.roi.json as hipdet test writes it", "a report as hipdet test writes it"
FARTHEST = 10 * MAX_SIDE  # px; labels may lie over the edges of a film
FIELDS: dict[str, Callable[[Record, str], Any]] = {  # of a detection without a label
    **dict.fromkeys(("image_id", "annotation_id"), Record.whole),
    "file_name": Record.text,
    **dict.fromkeys(("source", "label", KIND, VIEW), lambda row, key: row.text(key, None)),
    "iou": lambda row, key: row.number(key, 0, 1),
    "confidence": Record.number,
    **dict.fromkeys((*CORNERS, *FOUND_CORNERS), lambda row, key: row.number(key, -FARTHEST, FARTHEST)),
}
ROI_FIELDS = {**FIELDS, **dict.fromkeys(FOUND_CORNERS, lambda row, key: row.number(key, -FARTHEST, FARTHEST, None))}
OF_EXTRAS = ("image_id", "confidence", *FOUND_CORNERS)


def read_roi_table(path: Path, *needed: str) -> dict[str, list[dict[str, Any]]]:
    """``rois``, ``extras`` and ``ignored`` of a ``*.roi.json``, whose known fields have been checked.

    Args:
        path: File of :func:`write_roi_table`, or one that another program wrote in its form.
        needed: Fields that each row must have, besides ``iou`` and ``confidence``; those of a label, only ROIs.

    Raises:
        DatasetError: the file can't be read, is of another kind, or a field is missing or wrong.
    """
    table = Record.of(read_json(path, TABLE_EXPECTED), path, remedy=f"give {TABLE_EXPECTED}")
    others = replace(table, values={"extras": [], "ignored": [], **table.values})
    return dict(
        rois=[_row(row, ROI_FIELDS, {"iou", "confidence", *needed}) for row in table.records("rois")],
        **{
            key: [_row(row, FIELDS, {"confidence", *needed}.intersection(OF_EXTRAS)) for row in others.records(key)]
            for key in ("extras", "ignored")
        },
    )


def _row(record: Record, fields: Mapping[str, Callable[[Record, str], Any]], needed: Collection[str]) -> dict[str, Any]:
    known = {key: check(record, key) for key, check in fields.items() if key in needed or key in record.values}
    for corners in (CORNERS, FOUND_CORNERS):
        box = [value for corner in corners if (value := known.get(corner)) is not None]
        if box and (len(box) < 4 or box[0] > box[2] or box[1] > box[3]):
            record.refuse(corners[2], "all corners of a box, from left to right and from top to bottom")
    return {**record.values, **known}


def read_report(path: Path, *needed: str) -> dict[str, Any]:
    """The known entries of a ``test_report.json`` or ``val_report.json``, which have been checked.

    Args:
        path: File.
        needed: Entries that it must have, besides ``figures`` and ``epoch``, which is null for untrained weights.

    Raises:
        DatasetError: the file can't be read, is of another kind, or an entry is missing or wrong.
    """
    report = Record.of(read_json(path, REPORT_EXPECTED), path, remedy=f"give {REPORT_EXPECTED}")
    figures = report.record("figures")
    for key in ("epoch", *needed):
        if key not in report.values:
            report.refuse(key, "one")
    checked = dict(
        figures={name: figures.number(name) for name in figures.values},
        versions=_texts(report, "versions"),
        **{key: report.text(key, None) for key in ("ann_file", "checkpoint", "experiment", "weights", "model")},
        **{key: report.whole(key, 0, default=None) for key in ("epoch", "seed", "parameters")},
        seconds=report.number("seconds", 0, default=None),
    )
    return {key: value for key, value in checked.items() if key in report.values}


def _texts(record: Record, key: str) -> dict[str, str]:
    texts = record.record(key) if record.values.get(key) is not None else Record({}, record.where)
    return {name: texts.text(name) for name in texts.values}
