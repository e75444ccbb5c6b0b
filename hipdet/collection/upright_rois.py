"""The labels of a film in pixels of the upright film."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hipdet.coco.film import Roi
from hipdet.collection.candidate import Candidate
from hipdet.collection.rules import Rules
from hipdet.errors import DatasetError
from hipdet.labels import FilmLabels, decide_frame, turn_upright
from hipdet.labels.record import Box, LabelBox
from hipdet.radiograph import RadiographHeader
from hipdet.sides import sides_of_pairs

# A square around a ROI at the edge of a film reaches over it: FracAtlas has 4 hips of 200, by up to 21% of the side.
# More than this part is a mistake: another film's box, or one drawn on the film before it was turned upright.
LARGEST_OVERHANG = 0.25


@dataclass(frozen=True)
class UprightRois:
    """The ROIs of a film by one annotator, its boxes that are neither ROI nor background, and what there is to warn of."""

    rois: tuple[Roi, ...]
    warning: str | None = None
    ignored: tuple[Roi, ...] = ()


def upright_rois(labels: FilmLabels, header: RadiographHeader, candidate: Candidate, rules: Rules) -> UprightRois:
    """`labels` turned upright, scaled, cropped and clipped to the film.

    Raises:
        DatasetError: labels of another size, an unknown class, or a box that isn't on the film.
    """
    film = candidate.shown
    scale = _scale(labels.declared, header) if rules.scaled_labels else 1.0
    declared = None if scale != 1 else labels.declared
    frame = decide_frame(film, declared, header.stored, header.upright, header.orientation)
    top, bottom = candidate.crop
    width, height = header.upright
    height -= top + bottom
    if height < 1:
        raise DatasetError(
            f"{film}: {header.upright[1]} px high, expected more than the {top} + {bottom} px to be cropped"
        )

    def upright(each: LabelBox) -> Roi:
        x0, y0, x1, y1 = (edge * scale for edge in each.box)
        box = (
            turn_upright((x0, y0, x1, y1), header.stored, header.orientation)
            if frame.name == "raw"
            else (x0, y0, x1, y1)
        )
        box = (box[0], box[1] - top, box[2], box[3] - top)
        where = ", ".join(filter(None, (labels.file.name, labels.place, each.place)))
        try:
            return Roi(_clipped(box, width, height), rules.class_of(each.label))
        except DatasetError as error:
            raise DatasetError(f"{film}: {error} ({where})") from error

    # from left to right, whatever the order of drawing
    rois, ignored = (
        tuple(sorted(map(upright, boxes), key=lambda roi: (roi.box, roi.label)))
        for boxes in (labels.boxes, labels.ignored)
    )
    return UprightRois(rois, frame.warning if rois or ignored else None, ignored)


def with_sides(rois: tuple[Roi, ...]) -> tuple[Roi, ...]:
    """`rois` of a film of paired ROIs with their side of the picture, where a label or a pair side by side says it."""
    sides = sides_of_pairs([roi.box for roi in rois], [roi.label for roi in rois])
    return tuple(replace(roi, picture_side=roi.picture_side or side or None) for roi, side in zip(rois, sides))


def _scale(declared: tuple[int, int] | None, header: RadiographHeader) -> float:
    """Film / labelled copy; 1 where the label file declares no size, one of the film's, or one of another shape."""
    if declared is None or declared in (header.stored, header.upright):
        return 1.0
    width, height = header.upright
    scale = (width + height) / sum(declared)
    # a copy's sides are rounded to whole pixels
    if max(abs(declared[0] - width / scale), abs(declared[1] - height / scale)) > 1:
        return 1.0
    return scale


def _clipped(box: Box, width: int, height: int) -> Box:
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    overhang = max(-x0, -y0, x1 - width, y1 - height)
    if overhang > LARGEST_OVERHANG * side:
        raise DatasetError(
            f"box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] reaches {overhang:g} px out of the film of {width}x{height} upright, "
            f"expected at most a quarter of its side: was another film labelled, or this one turned?"
        )
    box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise DatasetError(f"box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] is less than 1 px wide or high: draw it again")
    return box
