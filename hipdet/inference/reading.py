"""One look of a model at a film: as it is, turned, or inverted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import Boxes, turn_boxes
from hipdet.sides import picture_side_of, sides_of_pairs


@dataclass(frozen=True)
class Reading:
    """What a model found, best first.

    Attributes:
        boxes: ``[N, 4]`` in pixels of the film as it was seen, which is turned by `quarters`.
        scores: ``[N]``.
        labels: ``[N]``, indices of classes.
        width: Of the film as it was seen, in pixels.
        height: Of the film as it was seen, in pixels.
        quarters: How many times the film was turned by 90 degrees counter-clockwise.
        inverted: Whether its greys were inverted.
    """

    boxes: Boxes
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    width: int
    height: int
    quarters: int = 0
    inverted: bool = False

    def best(self, count: int, least_score: float = 0.0) -> Reading:
        """The first `count` ROIs that score `least_score` or more."""
        kept = np.flatnonzero(self.scores >= least_score)[:count]
        found = self.boxes[kept], self.scores[kept], self.labels[kept]
        return Reading(*found, self.width, self.height, self.quarters, self.inverted)

    def stored_boxes(self) -> Boxes:
        """`boxes` in pixels of the film as it is stored."""
        return turn_boxes(self.boxes, -self.quarters, self.width, self.height)

    def picture_sides(self, shown: int, laterality: str | None = None) -> list[str]:
        """``left`` or ``right`` of every ROI on the film once it is upright; empty where that isn't known.

        Known are those of two of a class side by side, and that of a film's only ROI where the film says whose side it shows.
        On a film that was turned nothing is: it may have been turned the wrong way.

        Args:
            shown: Number of ROIs that the film shows, which may be more than these.
            laterality: ``left`` or ``right`` of the patient, if the film says that it shows this one; else None.
        """
        if self.quarters % 4:
            return [""] * len(self.boxes)
        if shown == len(self.boxes) == 1:
            return [picture_side_of(laterality) or ""]
        return sides_of_pairs(self.boxes, self.labels.tolist())
