"""Films that are rotated by quarter turns or inverted: how a model with an orientation head reads them upright."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hipdet.inference.detections import FilmDetections

Infer = Callable[[int, bool], FilmDetections]  # quarters, inverted
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
