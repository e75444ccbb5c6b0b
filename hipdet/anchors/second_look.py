"""What the second look at each ROI may take for granted: read off the data, and asked of a config before it trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hipdet.anchors.rois import Floats, Rois
from hipdet.core.classes import RoiCounts

# mean IoU of labels with what a detector could give at best; labels of true squares and of hips, which share their size, have
# .98 and more, lungs .61 and .92
PLANNED = 0.95
REFUSED = 0.90  # between the two hand-drawn labels may lie
PASSES = (3, 2)  # of a RefiningDetector whose config doesn't say


@dataclass(frozen=True)
class SecondLook:
    """Settings of a ``RefiningDetector`` that depend on the ROIs.

    Attributes:
        square: Width and height of an ROI are one.
        one_size: The ROIs of a class on a film share their size.
        most: ROIs of a class on a film, the largest number.
        reasons: Sentences.
    """

    square: bool
    one_size: bool
    most: int
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, rois: Rois) -> SecondLook:
        """What `rois`, of which there is at least one, ask for."""
        squares, sizes = square_fits(rois), shared_fits(rois)
        square = min(squares.values()) >= PLANNED
        one_size = min(sizes.values(), default=0.0) >= PLANNED
        worst = min(squares, key=lambda name: squares[name])
        reasons = [
            f"Second look: squares reach a mean IoU of {squares[worst]:.2f} with the labels of {worst!r}, so width and "
            f"height are {'one' if square else 'read apart'} (square={square}, from {PLANNED})."
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
        reasons.append(f"A film has up to {most} ROI{several} of a class: so many at least are re-read (passes).")
        return cls(square, one_size, most, tuple(reasons))


def roi_counts(rois: Rois) -> RoiCounts:
    """Fewest and most ROIs of each class on the films that have any ROI; of a single class in all."""
    labelled = np.unique(rois.films)
    counts: dict[str, list[int]] = {}
    for label, name in enumerate(rois.classes):
        found = np.bincount(rois.of_class(label).films, minlength=len(rois.long_sides))[labelled]
        counts[name] = [int(found.min()), max(int(found.max()), 1)]  # a class without a label may have one ROI
    return RoiCounts.of(counts, rois.classes)


def square_fits(rois: Rois) -> dict[str, float]:
    """By class the mean IoU of its ROIs with the square of the same centre and area."""
    fits = {}
    for name, part in _classes(rois):
        root = np.sqrt(np.maximum(part.aspects, 1 / part.aspects))
        fits[name] = float((1 / (2 * root - 1)).mean())
    return fits


def shared_fits(rois: Rois) -> dict[str, float]:
    """By class the mean IoU of the ROIs of a film with boxes of their mean size there, where films have several."""
    fits = {}
    for name, part in _classes(rois):
        several = part.at(np.bincount(part.films)[part.films] > 1)
        if len(several):
            fits[name] = float(_with_mean_size(several).mean())
    return fits


def _with_mean_size(rois: Rois) -> Floats:
    """IoU ``[N]`` of each ROI with one of its centre and of the geometric mean of the sides of its film's ROIs."""
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
