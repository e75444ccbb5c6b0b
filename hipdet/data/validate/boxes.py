"""Checks of the boxes of a COCO file, whose faults mmdet and pycocotools don't report, and of its films on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from hipdet.core.annotations import LARGEST_OVERHANG, SQUARE, is_ignored
from hipdet.core.boxes import Edges, clipped, near
from hipdet.core.errors import RadiographError
from hipdet.core.files import path_below
from hipdet.core.records import MAX_ROIS, MAX_SIDE, finite, finite_box, is_side, is_whole, shown
from hipdet.data.validate.faults import Faults, FaultyRecord
from hipdet.data.validate.structure import Record, file_name_fault
from hipdet.radiographs.read import read_header

TOLERANCE = 1.0  # px that a box may reach over the edge of its film, as labelling tools round
AREA_TOLERANCE = 0.02  # fraction of the box's area; areas of masks and of rounded boxes differ by less
_DRAW = "draw it again"


def check_annotations(
    annotations: Sequence[Record], images: Sequence[Record], categories: Sequence[Record], faults: Faults
) -> None:
    """Check that each annotation has an image and a category of the file, and a valid box on its film."""
    by_id = {image["id"]: image for image in images if is_whole(image["id"])}
    category_ids = {category["id"] for category in categories if is_whole(category["id"])}
    listed = f"one of {shown(sorted(category_ids))}"
    seen: dict[tuple[object, ...], object] = {}
    count: Counter[int] = Counter()
    for annotation in annotations:
        image_id, category_id = annotation["image_id"], annotation["category_id"]
        image = by_id.get(image_id) if is_whole(image_id) else None
        report = faults.at(f"annotation {shown(annotation['id'])}", image["file_name"] if image else "")
        if image is None:
            expected, remedy = "the id of an image of this file", "add the image, or remove the box"
            report.error("image-unknown", f"image_id {shown(image_id)}", expected, remedy)
        if not is_whole(category_id) or category_id not in category_ids:
            remedy = "add the category, or fix the id"
            report.error("category-unknown", f"category_id {shown(category_id)}", listed, remedy)
        _check_flags(annotation, report)
        if _check_box(annotation, image, report) and image is not None:
            key = (image_id, shown(category_id), *annotation["bbox"])
            if key in seen:
                report.error(
                    "box-twice", f"the same box as annotation {shown(seen[key])}", "each ROI once", "remove one"
                )
            seen.setdefault(key, annotation["id"])
        count.update([image_id] if image is not None else [])
    for image_id, boxes in count.items():
        if boxes > MAX_ROIS:
            report = faults.at(f"image {image_id}", by_id[image_id]["file_name"])
            report.error("too-many-boxes", f"{boxes} boxes", f"at most {MAX_ROIS} on a film", "is this one film?")


def _check_flags(annotation: Record, report: FaultyRecord) -> None:
    """Check iscrowd and ignore, which mean the same: the box is left out of training and of the metrics."""
    crowd = annotation["iscrowd"]
    if crowd not in (0, 1) or isinstance(crowd, float):
        report.error("iscrowd-invalid", f"iscrowd is {shown(crowd)}", "0 or 1", "write 0 for an ROI")
    elif crowd or annotation.get("ignore"):
        key = "iscrowd" if crowd else "ignore"
        found = f"{key} is set, so the box is neither an ROI nor background, in training and in the metrics"
        report.warn("box-ignored", found, "0 for an ROI", "write 0 if it is an ordinary ROI")


def _check_box(annotation: Record, image: Record | None, report: FaultyRecord) -> bool:
    """Whether training can use the box."""
    box = finite_box(annotation["bbox"])
    if box is None:
        report.error(
            "box-not-numbers", f"bbox {shown(annotation['bbox'])}", "4 finite numbers [x, y, width, height]", _DRAW
        )
        return False
    _, _, w, h = box
    if w < 1 or h < 1:
        found = f"bbox {shown(annotation['bbox'])}, {w:g} wide and {h:g} high"
        report.error("box-too-small", found, "at least 1 px", _DRAW)
        return False
    if image is not None and not _check_place(box, image, annotation["bbox"], report):
        return False
    if annotation.get(SQUARE) and image is not None and not _check_square(annotation, box, image, report):
        return False
    area = finite(annotation["area"])
    # CocoDataset drops a box without area, pycocotools one above 1e10
    if area is None or not 0 < area <= MAX_SIDE**2:
        report.error("area-invalid", f"area {shown(annotation['area'])}", f"{w * h:g}", "write width x height")
        return False
    if abs(area - w * h) > AREA_TOLERANCE * w * h and not annotation.get("segmentation"):
        report.warn("area-differs", f"area {area:g}", f"{w * h:g}", "write width x height")
    return True


def _check_place(box: tuple[float, float, float, float], image: Record, bbox: object, report: FaultyRecord) -> bool:
    width, height = image["width"], image["height"]
    if not (is_side(width) and is_side(height)):
        return True
    x, y, w, h = box
    over = max(-x, -y, x + w - width, y + h - height)
    if over <= 0:
        return True
    found = f"bbox {shown(bbox)} [x, y, width, height] reaches {over:g} px out of the film of {width}x{height}"
    outside = x >= width or y >= height or x + w <= 0 or y + h <= 0  # no part is on the film: CocoDataset drops it
    if over <= TOLERANCE and not outside:
        report.warn("box-over-edge", found, "a box on the film", "clip it")
        return True
    if not outside and 0 <= x < w <= width + TOLERANCE and 0 <= y < h <= height + TOLERANCE:
        remedy = f"it is probably [x0, y0, x1, y1]: write [{x:g}, {y:g}, {w - x:g}, {h - y:g}]"
        report.error("box-corners", found, "[x, y, width, height]", remedy)
    else:
        remedy = "clip or redraw it, and check that it was drawn on the upright film of this size"
        report.error("box-outside", found, "a box on the film", remedy)
    return False


def _check_square(annotation: Record, box: Edges, image: Record, report: FaultyRecord) -> bool:
    """Check that the square as drawn gives the box ``(x, y, w, h)``, and doesn't reach out of the film too far."""
    square, size = finite_box(annotation[SQUARE]), (image["width"], image["height"])
    found = f"{SQUARE} {shown(annotation[SQUARE])}, bbox {shown(annotation['bbox'])}"
    if square is None or not is_side(size[0]) or not is_side(size[1]):
        report.error("square-invalid", found, "4 finite numbers [x, y, side, side]", f"remove {SQUARE}")
        return False
    drawn, on_film = ((x, y, x + w, y + h) for x, y, w, h in (square, box))
    part = clipped(drawn, *size)
    if abs(square[2] - square[3]) > TOLERANCE or not near(part, on_film):
        report.error("square-invalid", found, "a square whose part on the film is bbox", f"remove {SQUARE}, or fix one")
        return False
    over = max(abs(one - other) for one, other in zip(drawn, part))
    if over > LARGEST_OVERHANG * max(square[2:]) + TOLERANCE and not is_ignored(annotation):
        expected = f"at most {LARGEST_OVERHANG:g} of its side out of the film"
        report.error(
            "square-outside", f"{found}: {over:g} px out of the film", expected, "set iscrowd, or draw it again"
        )
        return False
    return True


def check_films(images: Iterable[Record], root: Path, faults: Faults, progress: bool) -> None:
    """Check that films exist, are complete as far as headers and ends show, and have the declared upright size.

    Headers and ends are read, not the pixels: thousands of JPEGs take a second.  Image records with a faulty file name are
    skipped.

    Args:
        images: Image records.
        root: Folder that file names are relative to.
        faults: Collects the faults.
        progress: Whether to show a progress bar on a terminal.
    """
    if not root.is_dir():
        faults.at().error("root-missing", f"image root {root}", "a folder", "check data_root and data_prefix")
        return
    for image in tqdm(images, "films", unit="film", disable=None if progress else True):
        name = image.get("file_name")
        if file_name_fault(name) is None:
            _check_film(path_below(root, str(name)), image, faults.at(f"image {shown(image.get('id'))}", name))


def _check_film(path: Path, image: Record, report: FaultyRecord) -> None:
    if not path.is_file():
        report.error("film-missing", "no such film", f"a film at {path}", "check the image root, or remove the record")
        return
    try:
        header = read_header(path)
    except RadiographError as error:
        found, _, remedy = error.reason.partition(": ")
        report.error("film-unreadable", found, "a readable film", remedy or "export it again")
        return
    declared, upright = (image.get("width"), image.get("height")), header.upright
    found, expected = (
        f"{shown(declared[0])}x{shown(declared[1])} declared",
        f"{upright[0]}x{upright[1]}, the upright film's size",
    )
    if declared != upright and declared == header.stored:
        remedy = "EXIF orientation was ignored when it was labelled: rotate its boxes into the upright frame"
        report.error("size-not-upright", found, expected, remedy)
    elif declared != upright:
        report.error("size-differs", found, expected, "label this file itself, not a resized or rotated copy")
    elif header.orientation != 1 and header.stored == upright:
        found = f"EXIF orientation {header.orientation}, which leaves the size as it is"
        remedy = "check the film: a tool that ignores EXIF would have labelled it upside down or mirrored"
        report.warn("orientation-unclear", found, "boxes of the upright film", remedy)
