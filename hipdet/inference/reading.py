"""One look of a model at a film: as it is, turned, or inverted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import Boxes, turn_boxes
from hipdet.roi_counts import RoiCounts


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

    def labels_from(self, least_score: float) -> NDArray[np.int64]:
        """Of what scores `least_score` or more, thus counts as a ROI."""
        return self.labels[self.scores >= least_score]

    def best(self, counts: RoiCounts, least_score: float = 0.0) -> Reading:
        """The ROIs that a film may have, of those that score `least_score` or more."""
        enough = np.flatnonzero(self.scores >= least_score)
        kept = enough[counts.best(self.scores[enough], self.labels[enough])]
        found = self.boxes[kept], self.scores[kept], self.labels[kept]
        return Reading(*found, self.width, self.height, self.quarters, self.inverted)

    def stored_boxes(self) -> Boxes:
        """`boxes` in pixels of the film as it is stored."""
        return turn_boxes(self.boxes, -self.quarters, self.width, self.height)

    def picture_sides(self) -> list[str]:
        """``left`` or ``right`` of every ROI: of two of a class by their order, else by the middle of the film."""
        centre = (self.boxes[:, 0] + self.boxes[:, 2]) / 2
        middle = np.full(len(centre), self.width / 2)
        for label in np.unique(self.labels):
            same = self.labels == label
            if same.sum() == 2:
                middle[same] = centre[same].mean()
        return ["left" if x < m else "right" for x, m in zip(centre, middle)]
