"""All checks of one annotation file, and the one that refuses faulty files before training."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipdet.core.annotations import is_ignored
from hipdet.core.errors import raise_faults
from hipdet.data.validate.boxes import check_annotations, check_films
from hipdet.data.validate.faults import Fault, Faults
from hipdet.data.validate.plausibility import check_plausibility, sound, sound_images
from hipdet.data.validate.structure import check_categories, check_ids, check_images, read_coco

log = logging.getLogger(__name__)
SQUARE_TOLERANCE = 0.05
HIPS = ("hip",)


@dataclass(frozen=True)
class Expected:
    """What the user expects of the data.

    Attributes:
        classes: Names that the categories must have, in this order; None for any.
        rois: Number of ROIs on a film, 2 for hips; None for no check.
        square_tolerance: Largest difference of a box's sides, as a fraction of the longer one; None for no check.
    """

    classes: tuple[str, ...] | None = None
    rois: int | None = None
    square_tolerance: float | None = None

    @classmethod
    def of_classes(cls, classes: Sequence[str] | None) -> Expected:
        """The expectations for these classes: two squares on a film for hips, none for others."""
        names = None if classes is None else tuple(classes)
        return cls(names, 2, SQUARE_TOLERANCE) if names == HIPS else cls(names)


def validate(
    path: str | os.PathLike[str],
    image_root: str | os.PathLike[str] | None = None,
    expected: Expected | None = None,
    progress: bool = False,
) -> tuple[dict[str, Any], list[Fault]]:
    """Read a COCO file and find all of its faults in one pass.

    Args:
        path: The file.
        image_root: Folder that its file names are relative to; None to skip the checks of films.
        expected: What the user expects of the data.
        progress: Whether to show a progress bar.

    Returns:
        The parsed file, empty if it can't be used at all, and its faults: errors and warnings.
    """
    path, expected = Path(path), expected or Expected()
    faults = Faults(path.name)
    coco = read_coco(path, faults)
    if coco is None:
        return {}, faults.found
    images, annotations, categories = (coco[key] for key in ("images", "annotations", "categories"))
    check_ids("image", images, 0, faults)
    # pycocotools stores "matched with annotation 0" and "not matched" as the same number
    check_ids("annotation", annotations, 1, faults)
    check_ids("category", categories, 0, faults)
    check_images(images, faults)
    check_annotations(annotations, images, categories, faults)
    check_categories(categories, annotations, expected.classes, faults)
    if not images:
        faults.at().error("no-images", "empty dataset: no images", "at least one", "export the annotations again")
    elif all(map(is_ignored, annotations)):
        faults.at().error("no-boxes", "no ground truth boxes", "at least one", "label films to train or test on")
    good = sound_images(images)
    check_plausibility(good, sound(annotations, good), expected.rois, expected.square_tolerance, faults)
    if image_root is not None:
        check_films(images, Path(image_root), faults, progress)
    return coco, faults.found


def require_valid(
    path: str | os.PathLike[str],
    image_root: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Load the annotations at `path`; they and, with `image_root`, their films must have no errors.

    The number of warnings is logged in one line.

    Raises:
        DatasetError: the number of errors and the first 20.
    """
    coco, faults = validate(path, image_root, Expected.of_classes(classes))
    raise_faults(os.fspath(path), [str(fault) for fault in faults if not fault.warning])
    if faults:
        kinds = ", ".join(sorted({fault.kind for fault in faults}))
        log.warning("%s: %d warnings (%s); hipdet validate shows them", os.path.basename(path), len(faults), kinds)
    return coco
