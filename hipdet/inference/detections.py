"""Detections on a film: those of a single forward pass, of the pass on the upright film, and the final ROIs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes, Detections, get_patient_side, get_picture_side, sides_of_pairs, turn_boxes
from hipdet.core.records import MAX_SIDE, Record
from hipdet.core.spacing import Pair, read_spacing

SIDES = ("left", "right", "")  # of an ROI; empty where that isn't known
LONGEST_LABEL = 100  # letters: a label becomes part of a file's name
LONGEST_PATH = 4096  # letters of a film's name with its folders
UPRIGHT = 0.9  # share of films, assumed, that are upright and not inverted: the head must be surer of anything else


@dataclass(frozen=True)
class FilmDetections(Detections):
    """Detections of one forward pass, best first; the film may have been rotated or inverted for it.

    Attributes:
        width: Width of the input film in pixels, after rotation; boxes are in these pixels.
        height: Height of the input film in pixels, after rotation.
        quarters: How many times the film was rotated by 90 degrees counter-clockwise.
        inverted: Whether the film's greys were inverted.
        orientation: Probabilities ``[5]`` of a model with an orientation head: that 0, 1, 2 or 3 further quarter turns
            counter-clockwise make the input upright, and that it is inverted; None for other models.
    """

    width: int
    height: int
    quarters: int = 0
    inverted: bool = False
    orientation: NDArray[np.float64] | None = None

    def stored_boxes(self) -> Boxes:
        """`boxes` in pixels of the film before it was rotated."""
        return turn_boxes(self.boxes, -self.quarters, self.width, self.height)

    def picture_sides(
        self, shown: int, patient_side: str | None = None, paired: Collection[int] | None = None
    ) -> list[str]:
        """``left`` or ``right`` of every ROI on the upright film; empty if the side isn't known.

        The side is known for two ROIs of a class that are side by side, and for a film's only ROI if the film's tags name the
        patient's side.  It is never known on a rotated film, which may have been rotated the wrong way.

        Args:
            shown: Number of ROIs on the film, which may be more than these.
            patient_side: ``left`` or ``right`` of the patient, if the film's tags say that it shows this one; else None.
            paired: Indices of the classes that come in pairs (default: all), see `RoiCounts.paired`; others have no side.
        """
        if self.quarters % 4:
            return [""] * len(self.boxes)
        alone = shown == len(self.boxes) == 1
        labels = self.labels.tolist()
        sides = [get_picture_side(patient_side) or ""] if alone else sides_of_pairs(self.boxes, labels)
        return [side if paired is None or label in paired else "" for side, label in zip(sides, labels)]

    def as_rois(
        self, classes: Sequence[str], sides: Sequence[str], candidates: bool = False
    ) -> tuple[DetectedRoi, ...]:
        """The detections as ROIs on the film as it is stored.

        Args:
            classes: Names in the order of the labels.
            sides: Side in the picture of each detection.
            candidates: Whether all of them are candidates.
        """
        rows = zip(self.stored_boxes().tolist(), self.scores.tolist(), self.labels.tolist(), sides)
        return tuple(
            DetectedRoi((x0, y0, x1, y1), min(score, 1.0), classes[label], side, candidates)
            for (x0, y0, x1, y1), score, label, side in rows
        )


Infer = Callable[[int, bool], FilmDetections]  # quarters, inverted


def upright(infer: Infer) -> FilmDetections:
    """Detections on the upright film, by the orientation head of the model.

    If the head takes the film as it is for rotated or inverted, it is read as the head says, and the head is asked again:
    each orientation of the film gets the product of the probabilities of both answers.

    Args:
        infer: Runs the model on the film, rotated by `quarters` x 90 degrees and inverted if asked.
    """
    found = infer(0, False)
    likely = _likelihood(found)
    best = int(likely.argmax())
    if not best:
        return found
    second = infer(best % 4, best >= 4)
    again = int((likely + _likelihood(second)).argmax())
    if again in (0, best):
        return second if again else found
    return infer(again % 4, again >= 4)


def _likelihood(found: FilmDetections) -> NDArray[np.float64]:
    """Logarithms ``[8]`` of how likely each orientation of the film is: quarter turns to make it upright + 4 x inverted.

    They are those of the film as it is, whichever version was read.
    """
    if found.orientation is None:
        raise ValueError("detections of a model without an orientation head")
    turns, inverted = np.roll(found.orientation[:4], found.quarters), float(found.orientation[4])
    greys = np.array([inverted, 1 - inverted] if found.inverted else [1 - inverted, inverted])
    prior = np.full(8, (1 - UPRIGHT) / 7)
    prior[0] = UPRIGHT
    likely: NDArray[np.float64] = np.log(np.maximum(np.outer(greys, turns).reshape(-1) * prior**0.5, 1e-12))
    return likely


@dataclass(frozen=True)
class DetectedRoi:
    """One region of interest.

    Attributes:
        box: ``(x0, y0, x1, y1)``, continuous 0-based pixel edges of the film, EXIF orientation applied.
        score: The model's score, 0 to 1; for the models ``hip_roi_*``, the IoU that they expect of the box.
        label: Name of its class.
        picture_side: ``left`` or ``right`` as seen on the film; empty if it isn't known: for a single ROI on a film
            without tags for the side, and on a rotated film; and for classes that don't come in pairs.
        candidate: Whether it scores less than the model's limit, so that it is no ROI until somebody has looked at it.
    """

    box: tuple[float, float, float, float]
    score: float
    label: str
    picture_side: str
    candidate: bool = False

    @property
    def patient_side(self) -> str:
        """``left`` or ``right`` of the patient, see :mod:`hipdet.core.boxes`; empty if it isn't known."""
        return get_patient_side(self.picture_side) or ""


@dataclass(frozen=True)
class FilmRois:
    """The ROIs of one film, or why there are none.

    Attributes:
        name: Path of the film below its folder, with ``/``.
        path: File of the film; None for an array.
        width: Width of the film in pixels; 0 if it can't be read.
        height: Height of the film in pixels; 0 if it can't be read.
        rois: ROIs, best first.
        flags: Why somebody should check the film, see :mod:`hipdet.inference.review`.
        turned: Degrees counter-clockwise by which the film must be rotated to be upright: 0, 90, 180 or 270.
        inverted: Whether bone is dark on the film.
        error: Why the film can't be read; None if it can.
        candidates: Detections that may be ROIs but score less than the model's limit, best first; their sides aren't known.
        spacing_mm: ``(x, y)``: distance of neighbouring columns, and of neighbouring rows, in mm; None if it isn't known.
        spacing_plane: In which plane, see :mod:`hipdet.core.spacing`; None if the spacing isn't known.
        contrast: From the 5th to the 95th percentile of the film's greys, as the network saw it, as a share of white; None if
            it isn't known.
    """

    name: str
    path: Path | None
    width: int = 0
    height: int = 0
    rois: tuple[DetectedRoi, ...] = ()
    flags: tuple[str, ...] = ()
    turned: int = 0
    inverted: bool = False
    error: str | None = None
    candidates: tuple[DetectedRoi, ...] = ()
    spacing_mm: Pair | None = None
    spacing_plane: str | None = None
    contrast: float | None = None

    def upright(self, classes: Sequence[str]) -> FilmDetections:
        """The ROIs on the film as the network saw it: the inverse of :meth:`FilmDetections.as_rois`."""
        quarters = self.turned // 90
        width, height = (self.height, self.width) if quarters % 2 else (self.width, self.height)
        boxes = turn_boxes([roi.box for roi in self.rois], quarters, self.width, self.height)
        labels = np.array([classes.index(roi.label) for roi in self.rois], np.int64)
        scores = np.array([roi.score for roi in self.rois], np.float64)
        return FilmDetections(boxes, scores, labels, width, height, quarters, self.inverted)

    def size_mm(self, roi: DetectedRoi) -> Pair | None:
        """Width and height of `roi` in mm, to a micrometre, in the plane of the spacing; None if that isn't known."""
        if self.spacing_mm is None:
            return None
        (x0, y0, x1, y1), (x, y) = roi.box, self.spacing_mm
        return round((x1 - x0) * x, 3), round((y1 - y0) * y, 3)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the path is left out, as it is only valid on this machine."""
        return {**asdict(self), "path": None}

    @classmethod
    def from_json(
        cls, values: Record, name: str, path: Path | None = None, classes: Collection[str] | None = None
    ) -> FilmRois:
        """The inverse of :meth:`to_json`; today the film may be called `name`.

        Raises:
            HipdetError: an entry isn't what :meth:`to_json` writes, or a label none of `classes`, if these are given.
        """
        spacing = read_spacing(values)
        return cls(
            name,
            path,
            values.whole("width", 0, MAX_SIDE),
            values.whole("height", 0, MAX_SIDE),
            tuple(_roi(each, classes) for each in values.records("rois")),
            tuple(values.texts("flags")),
            values.one_of("turned", (0, 90, 180, 270)),
            values.flag("inverted"),
            None if values.values.get("error") is None else values.text("error", longest=LONGEST_PATH),
            tuple(_roi(each, classes) for each in values.records("candidates", [])),
            spacing.mm if spacing else None,
            spacing.plane if spacing else None,
            values.number("contrast", 0, 1, None),
        )


def _roi(values: Record, classes: Collection[str] | None) -> DetectedRoi:
    side, box = values.one_of("picture_side", SIDES), values.box("box", 2 * MAX_SIDE)
    if box[0] > box[2] or box[1] > box[3]:
        values.refuse("box", "[x0, y0, x1, y1] from left to right and from top to bottom")
    label = values.text("label", longest=LONGEST_LABEL) if classes is None else values.one_of("label", classes)
    return DetectedRoi(box, values.number("score", 0, 1), label, side, values.flag("candidate", default=False))
