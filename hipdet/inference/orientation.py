"""Films that are inverted, lie on their side or stand on their head: told, and read as they should be.  Pure numpy.

The network hardly minds an inverted film, so its scores don't tell.  The middle of a hip, the femoral head, is brighter than
the rest of its square and than most of the film, whatever the exposure; the middle of a lung is darker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.core.classes import RoiCounts
from hipdet.inference.detections import FilmDetections
from hipdet.inference.preprocess import ShrunkFilm
from hipdet.inference.review import ReviewLimits, film_flags, measures


def centre_contrast(film: NDArray[Any], boxes: Boxes) -> NDArray[np.float64]:
    """How much brighter the middles of ROIs are, as two figures whose signs matter; zeros without ROIs.

    Args:
        film: ``[H, W]`` grey.
        boxes: ``[N, 4]`` in its pixels.

    Returns:
        ``[2]``: mean grey of the middle, half as wide as the ROI, less that of the rest of it; and the share of the film
        that is darker than the middle, less a half.
    """
    figures = []
    for box in boxes:
        centre = (box[:2] + box[2:]) / 2
        whole, middle = _within(film, box), _within(film, (box + np.tile(centre, 2)) / 2)
        rest = whole.size - middle.size
        if middle.size and rest > 0:
            outside = (whole.sum(dtype=np.float64) - middle.sum(dtype=np.float64)) / rest
            figures.append([middle.mean() - outside, np.mean(film < middle.mean()) - 0.5])
    return np.mean(figures, axis=0) if figures else np.zeros(2)


def sign_of(contrast: NDArray[np.float64]) -> int:
    """1 where middles are bright by both figures, -1 where they are dark by both, else 0."""
    return int(np.all(contrast > 0)) - int(np.all(contrast < 0))


def _within(film: NDArray[Any], box: NDArray[np.float64]) -> NDArray[Any]:
    x0, y0, x1, y1 = np.rint(np.maximum(box, 0)).astype(int)
    return film[y0:y1, x0:x1]


ABOVE_ONE_ANOTHER = 45.0  # degrees, and more: nearer to that than to side by side
SAME_WHEN_TURNED = {"unequal_sizes", "odd_ratio"}  # flags that no turn can take away
Look = Callable[[int, bool], FilmDetections]  # quarters, inverted


def best_reading(film: ShrunkFilm, look: Look, expected: RoiCounts, limits: ReviewLimits) -> FilmDetections:
    """The reading that counts: of the film as it is, unless it looks odd and another reading shows why.

    * Middles of ROIs of the wrong brightness: the film is inverted.
    * ROIs above one another: the film lies, and the better of the two ways to set it upright counts, if it shows all ROIs.
    * Other flags: a turned reading counts if it shows all ROIs, no flag is left that turning could take away, and its mean
      score is better by the limits' margin.  Being less odd isn't enough: one of three readings often is, by chance.

    Args:
        film: For its greys.
        look: Reads it.
        expected: Numbers of ROIs.
        limits: Of the model.
    """

    def rois(found: FilmDetections) -> FilmDetections:
        return found.best(expected, limits.least_score)

    def flags(found: FilmDetections) -> set[str]:
        """What is odd about the ROIs, whichever way the film was read."""
        labels = found.labels_from(limits.least_score)
        return set(film_flags(rois(found), labels, expected, limits)) - {"turned", "inverted"}

    def merit(found: FilmDetections) -> float:
        """Mean score of the expected ROIs; 0 for one that isn't there, or scores too little."""
        return float(rois(found).scores.sum() / expected.most)

    found = look(0, False)
    contrast = centre_contrast(film.pixels, film.to_square(rois(found).boxes))
    inverted = limits.brightness * sign_of(contrast) == -1
    if inverted:
        found = look(0, True)
    if not flags(found):
        return found
    if (measures(rois(found))["tilt"] > ABOVE_ONE_ANOTHER).any():
        lying = [look(quarters, inverted) for quarters in (1, 3)]
        whole = [each for each in lying if "fewer_rois" not in flags(each)]
        return max(whole, key=merit, default=found)
    turned = [look(quarters, inverted) for quarters in (1, 2, 3)]
    usual = [each for each in turned if flags(each) <= SAME_WHEN_TURNED]
    best = max([found, *usual], key=merit)
    return best if merit(best) > merit(found) + limits.margin else found
