"""The record of a labelled film that converters hand to the COCO writer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hipdet.sides import patient_side


@dataclass(frozen=True)
class Roi:
    """One region of interest.

    Attributes:
        box: ``(x0, y0, x1, y1)``, continuous 0-based pixel edges of the upright film.
        label: Name of its class.
        picture_side: ``left`` or ``right`` as seen on the film, if known.
        implant: Whether the joint is artificial, if known.
    """

    box: tuple[float, float, float, float]
    label: str
    picture_side: str | None = None
    implant: bool | None = None

    @property
    def laterality(self) -> str | None:
        """``left`` or ``right`` of the patient, see :mod:`hipdet.sides`."""
        return patient_side(self.picture_side)

    @property
    def side(self) -> float:
        """The longer side in pixels: that of the square, also where one edge of the film cuts the square."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def is_square(self) -> bool:
        """Whether width and height agree to 0.01 px; labels are squares unless the edge of the film cuts them."""
        return abs((self.box[2] - self.box[0]) - (self.box[3] - self.box[1])) <= 0.01


@dataclass(frozen=True)
class Film:
    """One radiograph and its ROIs.

    Attributes:
        file_name: Path relative to the image root, with ``/``.
        width: Pixels, upright.
        height: Pixels, upright.
        source: Data set it comes from, such as ``fracatlas``.
        patient: Pseudonym, unique within the source: films of one patient are never split.
        rois: In the order of the labels.
        extra: Further fields of its image record, such as ``label_file``.
        ignored: Boxes that are neither ROI nor background, in the order of the labels.
    """

    file_name: str
    width: int
    height: int
    source: str
    patient: str
    rois: tuple[Roi, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    ignored: tuple[Roi, ...] = ()

    @property
    def long_side(self) -> int:
        """Pixels."""
        return max(self.width, self.height)

    @property
    def ratios(self) -> list[float]:
        """The paper's ratio_ROI/image of every ROI: its side / the long side of the film."""
        return [roi.side / self.long_side for roi in self.rois]
