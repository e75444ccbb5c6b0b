"""Films that are rotated by 90 degrees, upside down or inverted: how they are told, from detections on both versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.core.classes import RoiCounts
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm
from hipdet.inference.review import ReviewLimits, judge, measures

ABOVE_ONE_ANOTHER = 45.0  # degrees of tilt from which ROIs are above one another rather than side by side
SAME_WHEN_TURNED = {"unequal_sizes", "odd_ratio"}  # flags that rotation can't remove
Infer = Callable[[int, bool], FilmDetections]  # quarters, inverted


def centre_contrast(film: NDArray[Any], boxes: Boxes) -> NDArray[np.float64]:
    """How much brighter the centres of ROIs are than the rest, by two measures; only their signs are used.

    Args:
        film: Grey values ``[H, W]``.
        boxes: ROIs ``[N, 4]`` in pixels of the film.

    Returns:
        ``[2]``, averaged over the ROIs: mean grey of the centre, half as wide as the ROI, minus that of the rest of the ROI;
        and the share of the film that is darker than the centre, minus 0.5.  Zeros without ROIs.
    """
    metrics = []
    for box in boxes:
        centre = (box[:2] + box[2:]) / 2
        whole, middle = _within(film, box), _within(film, (box + np.tile(centre, 2)) / 2)
        rest = whole.size - middle.size
        if middle.size and rest > 0:
            outside = (whole.sum(dtype=np.float64) - middle.sum(dtype=np.float64)) / rest
            metrics.append([middle.mean() - outside, np.mean(film < middle.mean()) - 0.5])
    return np.mean(metrics, axis=0) if metrics else np.zeros(2)


def get_sign(contrast: NDArray[np.float64]) -> int:
    """1 if both measures of :func:`centre_contrast` are positive, -1 if both are negative, else 0."""
    return int(np.all(contrast > 0)) - int(np.all(contrast < 0))


def _within(film: NDArray[Any], box: NDArray[np.float64]) -> NDArray[Any]:
    x0, y0, x1, y1 = np.rint(np.maximum(box, 0)).astype(int)
    return film[y0:y1, x0:x1]


UPRIGHT = 0.9  # share of films, assumed, that are upright and not inverted: the head must be surer of anything else


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


def best_orientation(film: ShrunkFilm, infer: Infer, expected: RoiCounts, limits: ReviewLimits) -> FilmDetections:
    """Detections on the film as it is, unless they are unusual and those on the inverted or rotated film explain why.

    * If centres of ROIs have the wrong brightness, the film is inverted.
    * If ROIs are above one another, the film is rotated by 90 degrees: the better of the two directions that show all ROIs.
    * For other flags, or if there are candidates, the film is rotated if it then shows all ROIs, has no flag that rotation
      can remove, and its mean score is higher by the limits' margin.  Fewer flags aren't enough: one of three orientations
      often has fewer by chance.
      If nothing is an ROI on the film as it is, it must show as many as a film may have: where there is none, one of three
      orientations would often have something that scores enough.

    Args:
        film: The film, for its grey values.
        infer: Runs the model on the film, rotated by `quarters` x 90 degrees and inverted if asked.
        expected: How many ROIs the film should have.
        limits: Review limits of the model.
    """

    def rois(found: FilmDetections) -> FilmDetections:
        return judge(found, expected, limits).rois

    def flags(found: FilmDetections) -> set[str]:
        """Flags of the ROIs, apart from those for candidates and for the orientation itself."""
        return {*judge(found, expected, limits).flags} - {"candidates", "turned", "inverted"}

    def merit(found: FilmDetections) -> float:
        """Mean score of the expected ROIs; 0 for each that is missing or scores too little."""
        return float(rois(found).scores.sum() / expected.most)

    found = infer(0, False)
    contrast = centre_contrast(film.pixels, film.to_square(rois(found).boxes))
    inverted = limits.brightness * get_sign(contrast) == -1
    if inverted:
        found = infer(0, True)
    if not flags(found) and not len(judge(found, expected, limits).candidates.scores):
        return found
    if (measures(rois(found))["tilt"] > ABOVE_ONE_ANOTHER).any():
        upright = [infer(quarters, inverted) for quarters in (1, 3)]
        complete = [each for each in upright if "fewer_rois" not in flags(each)]
        return max(complete, key=merit, default=found)
    turned = [infer(quarters, inverted) for quarters in (1, 2, 3)]
    fewest = 0 if len(rois(found).scores) else expected.most
    usual = [each for each in turned if flags(each) <= SAME_WHEN_TURNED and len(rois(each).scores) >= fewest]
    best = max([found, *usual], key=merit)
    return best if merit(best) > merit(found) + limits.margin else found
