"""What was found on a film: by one look of a model, and in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes, Detections, get_patient_side, get_picture_side, sides_of_pairs, turn_boxes


@dataclass(frozen=True)
class FilmDetections(Detections):
    """What one look at a film found, best first; the film may have been turned or inverted for it.

    Attributes:
        width: Of the film as it was seen, in pixels; boxes are in its pixels.
        height: Of the film as it was seen, in pixels.
        quarters: How many times the film was turned by 90 degrees counter-clockwise.
        inverted: Whether its greys were inverted.
    """

    width: int
    height: int
    quarters: int = 0
    inverted: bool = False

    def labels_from(self, least_score: float) -> NDArray[np.int64]:
        """Of what scores `least_score` or more, thus counts as an ROI."""
        return self.labels[self.scores >= least_score]

    def stored_boxes(self) -> Boxes:
        """`boxes` in pixels of the film as it is stored."""
        return turn_boxes(self.boxes, -self.quarters, self.width, self.height)

    def picture_sides(self, shown: int, patient_side: str | None = None) -> list[str]:
        """``left`` or ``right`` of every ROI on the film once it is upright; empty where that isn't known.

        Known are those of two of a class side by side, and that of a film's only ROI where the film says whose side it shows.
        On a film that was turned nothing is: it may have been turned the wrong way.

        Args:
            shown: Number of ROIs that the film shows, which may be more than these.
            patient_side: ``left`` or ``right`` of the patient, if the film says that it shows this one; else None.
        """
        if self.quarters % 4:
            return [""] * len(self.boxes)
        if shown == len(self.boxes) == 1:
            return [get_picture_side(patient_side) or ""]
        return sides_of_pairs(self.boxes, self.labels.tolist())


@dataclass(frozen=True)
class DetectedRoi:
    """One region of interest.

    Attributes:
        box: ``(x0, y0, x1, y1)``, continuous 0-based pixel edges of the film, EXIF orientation applied.
        score: What the model thinks of it; of the recommended family the IoU that is expected, 0 to 1.
        label: Name of its class.
        picture_side: ``left`` or ``right`` as seen on the film; empty where it isn't known: of a lone ROI on a film that
            doesn't say it, and on one that was read turned.
    """

    box: tuple[float, float, float, float]
    score: float
    label: str
    picture_side: str

    @property
    def patient_side(self) -> str:
        """``left`` or ``right`` of the patient, see :mod:`hipdet.core.boxes`; empty where it isn't known."""
        return get_patient_side(self.picture_side) or ""


@dataclass(frozen=True)
class FilmRois:
    """The ROIs of one film, or why there are none.

    Attributes:
        name: Of the film, below its folder, with ``/``.
        path: Where it is; None for an array.
        width: Pixels, 0 where the film can't be read.
        height: Pixels, 0 where the film can't be read.
        rois: Best first.
        flags: Why a person should look at it, see :mod:`hipdet.inference.review`.
        turned: Degrees counter-clockwise by which the film must be turned to be upright: 0, 90, 180 or 270.
        inverted: Whether bone is dark on it.
        error: Why it can't be read; None if it can.
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

    def to_json(self) -> dict[str, Any]:
        """As plain values, without the path, which is this machine's."""
        return {**asdict(self), "path": None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], path: Path | None = None) -> FilmRois:
        """The way back from :meth:`to_json`."""
        rois = tuple(DetectedRoi(**{**roi, "box": tuple(roi["box"])}) for roi in values["rois"])
        return cls(**{**values, "path": path, "rois": rois, "flags": tuple(values["flags"])})
