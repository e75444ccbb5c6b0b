"""What the second look (the refinement of each ROI) may assume: derived from the data, and checked before training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hipdet.anchors.rois import Floats, Rois
from hipdet.core.classes import RoiCounts

# mean IoU of the labels with the best boxes that a setting allows: hips, which are square and of one size on a film, have .98
# and more, lungs .61 (squares) and .92 (one size)
PLANNED = 0.95
REFUSED = 0.90  # hand-drawn labels may lie between the two
PASSES = (3, 2)  # default of a RefiningDetector


@dataclass(frozen=True)
class SecondLook:
    """Settings of a ``RefiningDetector`` that depend on the ROIs.

    Attributes:
        square: Whether width and height of an ROI are equal.
        one_size: Whether the ROIs of a class on a film have the same size.
        most: Largest number of ROIs of a class on a film.
        reasons: Sentences.
    """

    square: bool
    one_size: bool
    most: int
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, rois: Rois) -> SecondLook:
        """The settings for `rois`, at least one."""
        squares, sizes = square_fits(rois), shared_fits(rois)
        square = min(squares.values()) >= PLANNED
        one_size = min(sizes.values(), default=0.0) >= PLANNED
        worst = min(squares, key=lambda name: squares[name])
        reasons = [
            f"Second look: squares reach a mean IoU of {squares[worst]:.2f} with the labels of {worst!r}, so width and "
            f"height are predicted {'as one' if square else 'separately'} (square={square}, from {PLANNED})."
        ]
        if sizes:
            worst = min(sizes, key=lambda name: sizes[name])
            reasons.append(
                f"Boxes of one size on a film reach {sizes[worst]:.2f} with the labels of {worst!r}, so ROIs of a class "
                f"{'share their size' if one_size else 'keep their own size'} (one_size={one_size}, from {PLANNED})."
            )
        else:
            reasons.append("No film has two ROIs of a class that could share their size (one_size=False).")
        most = max(part[1] for part in roi_counts(rois).ranges)
        several = "s" if most > 1 else ""
        reasons.append(f"A film has up to {most} ROI{several} of a class: at least that many are refined (passes).")
        return cls(square, one_size, most, tuple(reasons))


def roi_counts(rois: Rois) -> RoiCounts:
    """Fewest and most ROIs of each class on films that have any ROI; a single total if there is one class."""
    labelled = np.unique(rois.films)
    counts: dict[str, list[int]] = {}
    for label, name in enumerate(rois.classes):
        found = np.bincount(rois.of_class(label).films, minlength=len(rois.long_sides))[labelled]
        counts[name] = [int(found.min()), max(int(found.max()), 1)]  # a class without a label may have one ROI
    return RoiCounts.of(counts, rois.classes)


def square_fits(rois: Rois) -> dict[str, float]:
    """For each class, the mean IoU of its ROIs with the concentric square of equal area."""
    fits = {}
    for name, part in _classes(rois):
        root = np.sqrt(np.maximum(part.aspects, 1 / part.aspects))
        fits[name] = float((1 / (2 * root - 1)).mean())
    return fits


def shared_fits(rois: Rois) -> dict[str, float]:
    """For each class, the mean IoU of its ROIs with boxes of the film's mean size, on films with several."""
    fits = {}
    for name, part in _classes(rois):
        several = part.at(np.bincount(part.films)[part.films] > 1)
        if len(several):
            fits[name] = float(_with_mean_size(several).mean())
    return fits


def _with_mean_size(rois: Rois) -> Floats:
    """IoU ``[N]`` of each ROI with a concentric box that has the geometric mean of the sides of its film's ROIs."""
    count = np.bincount(rois.films)
    logs = np.log(rois.sides)
    mean = np.stack([np.bincount(rois.films, logs[:, axis]) / np.maximum(count, 1) for axis in (0, 1)], axis=1)
    shared = np.exp(mean)[rois.films]
    common = np.minimum(rois.sides, shared).prod(axis=1)
    return common / (rois.sides.prod(axis=1) + shared.prod(axis=1) - common)


def _classes(rois: Rois) -> Iterator[tuple[str, Rois]]:
    for label, name in enumerate(rois.classes):
        part = rois.of_class(label)
        if len(part):
            yield name, part
