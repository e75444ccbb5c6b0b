"""What was found on a film."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hipdet.sides import patient_side


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
        """``left`` or ``right`` of the patient, see :mod:`hipdet.sides`; empty where it isn't known."""
        return patient_side(self.picture_side) or ""


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
