"""Films that are inverted, lie on their side or stand on their head: told, and read as they should be."""

from __future__ import annotations

from collections.abc import Callable

from hipdet.inference.inversion import centre_contrast, sign_of
from hipdet.inference.measures import measures
from hipdet.inference.reading import Reading
from hipdet.inference.review import ReviewLimits, film_flags
from hipdet.inference.shrunk_film import ShrunkFilm
from hipdet.roi_counts import RoiCounts

ABOVE_ONE_ANOTHER = 45.0  # degrees, and more: nearer to that than to side by side
SAME_WHEN_TURNED = {"unequal_sizes", "odd_ratio"}  # flags that no turn can take away
Look = Callable[[int, bool], Reading]  # quarters, inverted


def best_reading(film: ShrunkFilm, look: Look, expected: RoiCounts, limits: ReviewLimits) -> Reading:
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
    found = look(0, False)
    contrast = centre_contrast(film.pixels, film.to_square(found.best(expected, limits.least_score).boxes))
    inverted = limits.brightness * sign_of(contrast) == -1
    if inverted:
        found = look(0, True)
    if not _flags(found, expected, limits):
        return found
    if _above_one_another(found, expected, limits):
        lying = [look(quarters, inverted) for quarters in (1, 3)]
        whole = [each for each in lying if "fewer_rois" not in _flags(each, expected, limits)]
        return max(whole, key=lambda each: _merit(each, expected, limits), default=found)
    turned = [look(quarters, inverted) for quarters in (1, 2, 3)]
    usual = [each for each in turned if _flags(each, expected, limits) <= SAME_WHEN_TURNED]
    best = max([found, *usual], key=lambda each: _merit(each, expected, limits))
    return best if _merit(best, expected, limits) > _merit(found, expected, limits) + limits.margin else found


def _above_one_another(found: Reading, expected: RoiCounts, limits: ReviewLimits) -> bool:
    return bool((measures(found.best(expected, limits.least_score))["tilt"] > ABOVE_ONE_ANOTHER).any())


def _merit(found: Reading, expected: RoiCounts, limits: ReviewLimits) -> float:
    """Mean score of the expected ROIs; 0 for one that isn't there, or scores too little."""
    return float(found.best(expected, limits.least_score).scores.sum() / expected.most)


def _flags(found: Reading, expected: RoiCounts, limits: ReviewLimits) -> set[str]:
    """What is odd about the ROIs, whichever way the film was read."""
    flags = film_flags(
        found.best(expected, limits.least_score), found.labels_from(limits.least_score), expected, limits
    )
    return set(flags) - {"turned", "inverted"}
