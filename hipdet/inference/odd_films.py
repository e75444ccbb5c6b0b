"""Films that lie on their side, stand on their head or are inverted: read once more, and the best reading counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hipdet.inference.measures import measures
from hipdet.inference.reading import Reading
from hipdet.inference.review import ReviewLimits, film_flags

UPRIGHT = 45.0  # degrees: nearer to side by side than to above one another
Look = Callable[[int, bool], Reading]  # quarters, inverted


def best_reading(look: Look, expected: int, limits: ReviewLimits | None) -> Reading:
    """The film as it is where nothing looks odd, else the reading with the best mean score.

    A turned or inverted reading must be better than the film as it is by the margin of `limits`; without limits nothing is
    known to be odd.
    """
    first = look(0, False)
    if limits is None or not film_flags(_rois(first, expected, limits), _count(first, limits), expected, limits):
        return first
    best = max(_others(look), key=lambda each: merit(each, expected))
    return best if merit(best, expected) > merit(first, expected) + limits.margin else first


def merit(found: Reading, expected: int) -> float:
    """Mean score of the `expected` best ROIs; 0 for one that isn't there, and for ROIs that lie above one another."""
    rois = found.best(expected)
    if (measures(rois)["tilt"] > UPRIGHT).any():
        return 0.0
    return float(rois.scores.sum() / expected)


def _others(look: Look) -> Iterator[Reading]:
    for inverted in (False, True):
        for quarters in range(4):
            if quarters or inverted:
                yield look(quarters, inverted)


def _rois(found: Reading, expected: int, limits: ReviewLimits) -> Reading:
    return found.best(expected, limits.least_score)


def _count(found: Reading, limits: ReviewLimits) -> int:
    return int((found.scores >= limits.least_score).sum())
