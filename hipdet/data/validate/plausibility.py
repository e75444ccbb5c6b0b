"""Warnings about valid but implausible annotations: boxes that aren't square, unusual sizes, swapped sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import numpy as np

from hipdet.core.annotations import is_ignored, patient_of
from hipdet.core.records import MAX_ROIS, finite_box, is_side, is_whole, shown
from hipdet.data.film_status import is_done, left_out
from hipdet.data.validate.faults import Faults, FaultyRecord
from hipdet.data.validate.structure import Record

RATIO_FACTOR = 3.0  # ROIs of a class differ less from their median: the paper's hips are 0.5 to 1.6 times it
FEWEST = 10  # number of boxes of a class from which on its median is used
OVERLAP = 0.5  # IoU above which two boxes of a class are probably one ROI that was labelled twice

SIDES = ("left", "right", None)
_CHECK = "check the film"


def check_plausibility(
    images: Sequence[Record],
    annotations: Sequence[Record],
    rois: int | None,
    square_tolerance: float | None,
    faults: Faults,
) -> None:
    """Warn of implausible annotations.

    Args:
        images: Image records that :func:`sound_images` returns.
        annotations: Annotations that :func:`sound` returns.
        rois: Number of ROIs on a film; None for no check.
        square_tolerance: Largest difference of a box's sides, as a fraction of the longer one; None for no check.
        faults: Collects the warnings.
    """
    of_image: dict[int, list[Record]] = defaultdict(list)
    for annotation in annotations:
        if not is_ignored(annotation):
            of_image[annotation["image_id"]].append(annotation)
    medians = _median_ratios(images, of_image)
    for image in images:
        boxes = of_image[image["id"]]
        report = faults.at(f"image {image['id']}", image["file_name"])
        if reason := left_out(image):
            remedy = "finish it in hipdet annotate, or leave it: training skips it"
            report.warn("film-left-out", reason, "a finished film", remedy)
        elif boxes or not is_done(image):
            _check_count(report, len(boxes), rois)
        _check_sides(image, boxes, faults)
        _check_overlap(image, boxes, faults)
        for annotation in boxes:
            _check_size(image, annotation, medians.get(annotation["category_id"]), square_tolerance, faults)
    without = [image["file_name"] for image in images if not patient_of(image)]
    if without:
        found = f"{len(without)} of {len(images)} images without patient"
        remedy = "add patients: without them, splits may leak"
        faults.at(film=without[0]).warn("patient-missing", found, "a pseudonym for each", remedy)


def _ratio(image: Record, annotation: Record) -> float:
    return max(annotation["bbox"][2:]) / max(image["width"], image["height"])


def _median_ratios(images: Sequence[Record], of_image: dict[int, list[Record]]) -> dict[int, float]:
    ratios: dict[int, list[float]] = defaultdict(list)
    for image in images:
        for annotation in of_image[image["id"]]:
            ratios[annotation["category_id"]].append(_ratio(image, annotation))
    return {category: median(values) for category, values in ratios.items() if len(values) >= FEWEST}


def _check_size(
    image: Record, annotation: Record, typical: float | None, square_tolerance: float | None, faults: Faults
) -> None:
    """Warn if the ratio is far from `typical`, or if the box isn't a square though no edge of the film cuts it."""
    report, ratio = faults.at(f"annotation {shown(annotation['id'])}", image["file_name"]), _ratio(image, annotation)
    if typical and not typical / RATIO_FACTOR <= ratio <= typical * RATIO_FACTOR:
        report.warn("ratio-unlikely", f"ratio_ROI/image {ratio:.3f}", f"near {typical:.3f}, the median", _CHECK)
    x, y, w, h = annotation["bbox"]
    cut = x <= 1 or y <= 1 or x + w >= image["width"] - 1 or y + h >= image["height"] - 1
    if square_tolerance is not None and not cut and abs(w - h) > square_tolerance * max(w, h):
        report.warn("not-square", f"{w:g} wide and {h:g} high", "a square", "redraw it")


def _check_count(report: FaultyRecord, count: int, rois: int | None) -> None:
    if not count:
        remedy = "label it, or leave it if it has none: training uses it as a film without ROI"
        report.warn("no-roi", "0 ROIs", f"{rois or 'at least 1'}", remedy)
    elif rois is not None and count != rois:
        report.warn("too-few-rois" if count < rois else "too-many-rois", f"{count} ROIs", f"{rois}", _CHECK)


def _check_sides(image: Record, boxes: Sequence[Record], faults: Faults) -> None:
    """Warn if picture_side and laterality are invalid, don't mirror each other, or contradict the positions of the boxes."""
    centre = {}
    for annotation in boxes:
        report = faults.at(f"annotation {shown(annotation['id'])}", image["file_name"])
        sides = [annotation.get("picture_side"), annotation.get("laterality")]
        if not all(side in SIDES for side in sides):
            found = f"picture_side {shown(sides[0])}, laterality {shown(sides[1])}"
            report.warn("side-unknown", found, "left, right or nothing", "fix it")
            continue
        if sides[0] is not None:
            centre[sides[0]] = annotation["bbox"][0] + annotation["bbox"][2] / 2
        if sides[0] is not None and sides[0] == sides[1]:
            found = f"picture_side and laterality are both {sides[0]!r}"
            report.warn("side-mirrored", found, "the patient's right on the picture's left", _CHECK)
    if "left" in centre and "right" in centre and centre["left"] > centre["right"]:
        found = f"left ROI at x = {centre['left']:g}, right one at {centre['right']:g}"
        report = faults.at(f"image {image['id']}", image["file_name"])
        report.warn("sides-swapped", found, "the left ROI to the left of the right one", "swap them")


def _check_overlap(image: Record, boxes: Sequence[Record], faults: Faults) -> None:
    """Warn of each box that overlaps one before it, of which the closest is named."""
    if not 2 <= len(boxes) <= MAX_ROIS:  # more are an error, and comparing a million with each other takes terabytes
        return
    from pycocotools import mask  # imported here, as files without labels don't need it

    corners = [[float(value) for value in annotation["bbox"]] for annotation in boxes]
    iou = mask.iou(corners, corners, [0] * len(corners))  # for two boxes three times as fast as iou_matrix
    classes = [annotation["category_id"] for annotation in boxes]
    for j in range(1, len(boxes)):
        near = [(iou[i, j], -i) for i in np.flatnonzero(iou[:j, j] > OVERLAP).tolist() if classes[i] == classes[j]]
        if near:
            largest, place = max(near)
            report = faults.at(f"annotation {shown(boxes[j]['id'])}", image["file_name"])
            found = f"IoU {largest:.2f} with annotation {shown(boxes[-place]['id'])}"
            report.warn("rois-overlap", found, "ROIs that don't overlap", "remove one if it is a repeat")


def sound(annotations: Sequence[Record], images: Sequence[Record]) -> list[Record]:
    """The annotations that have a valid box, image and category, so their plausibility can be checked."""
    ids = {image["id"] for image in images}

    def is_sound(annotation: Record) -> bool:
        image_id, box = annotation["image_id"], finite_box(annotation["bbox"])
        if not (is_whole(image_id) and image_id in ids and is_whole(annotation["category_id"])):
            return False
        return box is not None and box[2] > 0 and box[3] > 0

    return [each for each in annotations if is_sound(each)]


def sound_images(images: Sequence[Record]) -> list[Record]:
    """The image records that have a valid id, size and name."""
    return [
        each
        for each in images
        if is_whole(each["id"])
        and is_side(each["width"])
        and is_side(each["height"])
        and isinstance(each["file_name"], str)
    ]
