"""Films that are inverted, lie on their side or stand on their head: told, and read as they should be."""

from __future__ import annotations

from collections.abc import Callable

from hipdet.inference.inversion import centre_contrast, sign_of
from hipdet.inference.measures import measures
from hipdet.inference.reading import Reading
from hipdet.inference.review import ReviewLimits, film_flags
from hipdet.inference.shrunk_film import ShrunkFilm

ABOVE_ONE_ANOTHER = 45.0  # degrees, and more: nearer to that than to side by side
Look = Callable[[int, bool], Reading]  # quarters, inverted


def best_reading(film: ShrunkFilm, look: Look, expected: int, limits: ReviewLimits) -> Reading:
    """The reading that counts: of the film as it is, unless it looks odd and another reading shows why.

    * Middles of ROIs of the wrong brightness: the film is inverted.
    * ROIs above one another: the film lies, and the better of the two ways to set it upright counts.
    * Other flags: a turned reading counts if it has fewer of them and a mean score that is better by the limits' margin.

    Args:
        film: For its greys.
        look: Reads it.
        expected: Number of ROIs.
        limits: Of the model.
    """
    found = look(0, False)
    contrast = centre_contrast(film.pixels, film.to_square(found.best(expected, limits.least_score).boxes))
    inverted = limits.brightness * sign_of(contrast) == -1
    if inverted:
        found = look(0, True)
    flags = _flags(found, expected, limits)
    if not flags:
        return found
    if _above_one_another(found, expected, limits):
        return max((look(quarters, inverted) for quarters in (1, 3)), key=lambda each: _merit(each, expected))
    best = max((look(quarters, inverted) for quarters in (1, 2, 3)), key=lambda each: _merit(each, expected))
    better = _merit(best, expected) > _merit(found, expected) + limits.margin
    return best if better and len(_flags(best, expected, limits)) < len(flags) else found


def _above_one_another(found: Reading, expected: int, limits: ReviewLimits) -> bool:
    return bool((measures(found.best(expected, limits.least_score))["tilt"] > ABOVE_ONE_ANOTHER).any())


def _merit(found: Reading, expected: int) -> float:
    """Mean score of the `expected` best ROIs; 0 for one that isn't there."""
    return float(found.best(expected).scores.sum() / expected)


def _flags(found: Reading, expected: int, limits: ReviewLimits) -> set[str]:
    """What is odd about the ROIs, whichever way the film was read."""
    count = int((found.scores >= limits.least_score).sum())
    flags = film_flags(found.best(expected, limits.least_score), count, expected, limits)
    return set(flags) - {"turned", "inverted"}
