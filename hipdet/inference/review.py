"""Which films a person should look at: measures that films of all sizes share, limits that validation films set, and films
that lie, stand on their head or are inverted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.core.classes import RoiCounts
from hipdet.core.errors import CheckpointError, DatasetError
from hipdet.evaluation.matching import HIT
from hipdet.inference.detections import FilmDetections
from hipdet.inference.film_list import ShrunkFilm

Measures = dict[str, NDArray[np.float64]]

FLAG_OF = {
    "score": "low_score",
    "ratio": "odd_ratio",
    "x": "odd_position",
    "y": "odd_position",
    "distance": "odd_position",
    "tilt": "odd_position",
    "size": "unequal_sizes",
}


def measures(found: FilmDetections) -> Measures:
    """Figures of the ROIs on the film as it was seen.

    Returns:
        One value per ROI: ``score``; ``ratio``, its longer side / the long side of the film; ``x`` and ``y``, its centre as a
        share of width and height, ``x`` counted from the edge on its side.  One value per pair, where a class has two ROIs:
        ``distance`` of their centres in mean sides, ``tilt`` of the line between them against the horizontal in degrees, and
        ``size``, larger / smaller, of that axis where they differ less: the other one may be cut off by the film's edge.
    """
    extent = np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 1e-9)  # [N, 2]
    sides = extent.max(axis=1) if len(extent) else np.zeros(0)
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    x, middle = centre[:, 0] / found.width, np.full(len(extent), found.width / 2)
    pairs = [np.flatnonzero(found.labels == label) for label in np.unique(found.labels)]
    pairs = [pair for pair in pairs if len(pair) == 2]
    for pair in pairs:  # of two the left one counts from the left edge, which says nothing of the patient's sides
        middle[pair] = centre[pair, 0].mean()
    across = np.array([np.abs(centre[b] - centre[a]) for a, b in pairs]).reshape(-1, 2)
    both = np.array([extent[pair] for pair in pairs]).reshape(-1, 2, 2)  # [P, ROI, axis]
    return {
        "score": found.scores,
        "ratio": sides / max(found.width, found.height),
        "x": np.where(centre[:, 0] < middle, x, 1 - x),
        "y": centre[:, 1] / found.height,
        "distance": np.hypot(*across.T) / both.max(axis=2, initial=1e-9).mean(axis=1),
        "tilt": np.degrees(np.arctan2(across[:, 1], across[:, 0])),
        "size": (both.max(axis=1) / both.min(axis=1)).min(axis=1),
    }


Range = tuple[float | None, float | None]

FLAGS = {
    "fewer_rois": "fewer ROIs than expected",
    "more_rois": "more ROIs than expected",
    "low_score": "a score below those of validation films",
    "unequal_sizes": "the two ROIs of a class differ in size more than on validation films",
    "odd_ratio": "ratio_ROI/image outside that of validation films",
    "odd_position": "position, distance or slope of the ROIs outside those of validation films",
    "turned": "the film lies on its side or stands on its head: read turned",
    "inverted": "the middles of ROIs are dark where they should be bright: read inverted",
}
SHARE = 0.01  # of the ROIs of validation films, beyond each limit
_ONE_SIDED = {"score": (True, False), "tilt": (False, True), "size": (False, True)}


@dataclass(frozen=True)
class ReviewLimits:
    """What is usual on validation films.

    Attributes:
        films: Number of films they come from.
        share: Of the ROIs of these films, beyond each limit: so many flags are to be expected on films of the same kind.
        least_score: From which a detection counts as an ROI: halfway from the lowest score of hits to the highest of others.
        margin: By which a turned reading must be better to count: the standard deviation of the films' mean scores.
        brightness: 1 where the middles of ROIs are bright, as those of hips, -1 where they are dark, as those of lungs; 0
            where that isn't known, and inverted films can't be told.
        ranges: Lowest and highest usual value of each of :func:`hipdet.inference.review.measures`; None for no limit.
    """

    films: int
    share: float
    least_score: float
    margin: float
    brightness: int
    ranges: Mapping[str, Range]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, source: object) -> ReviewLimits:
        """The way back; `source` is what an error calls the file.

        Raises:
            CheckpointError: something else.
        """
        try:
            ranges = {name: (_number(low), _number(high)) for name, (low, high) in values["ranges"].items()}
            if unknown := set(ranges) - set(FLAG_OF):
                raise ValueError(f"unknown measures {sorted(unknown)}")
            share, least, margin = (float(values[name]) for name in ("share", "least_score", "margin"))
            return cls(int(values["films"]), share, least, margin, int(values["brightness"]), ranges)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"{source}: review limits can't be read ({type(error).__name__}: {error}); write them again with "
                f"hipdet export --calibrate"
            ) from error


@dataclass(frozen=True)
class ValidationFilm:
    """Detections on a film that the model wasn't trained on.

    Attributes:
        found: The detections.
        iou: ``[N]``, with which each hit a label; 0 for none.
        brightness: Sign of the middles of its ROIs, see :mod:`hipdet.inference.review`; None where it wasn't looked at.
    """

    found: FilmDetections
    iou: NDArray[np.float64]
    brightness: int | None = None


def build_limits(films: Sequence[ValidationFilm], share: float = SHARE) -> ReviewLimits:
    """The limits that leave out `share` of the hits on `films`, or less, at each end, rounded outwards to thousandths.

    Raises:
        DatasetError: no hits to learn from.
    """
    usual: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FLAG_OF}
    others, mean_scores = [np.zeros(1)], []
    for film in films:
        hit = film.iou >= HIT
        others.append(film.found.scores[~hit])
        if hit.any():
            for name, values in measures(film.found.at(hit)).items():
                usual[name].append(values)
            mean_scores.append(film.found.scores[hit].mean())
    if not mean_scores:
        raise DatasetError(
            f"{len(films)} validation films without one ROI that was hit: no limits can be set from them"
        )
    hits = np.quantile(np.concatenate(usual["score"]), share)
    misses = np.quantile(np.concatenate(others), 1 - share)
    ranges = {name: _range(name, np.concatenate(values), share) for name, values in usual.items()}
    least, margin = round(float(hits + misses) / 2, 3), round(float(np.std(mean_scores)), 3)
    return ReviewLimits(len(films), share, least, margin, _brightness(films, share), ranges)


def film_flags(
    found: FilmDetections, labels: NDArray[np.int64], expected: RoiCounts, limits: ReviewLimits | None
) -> tuple[str, ...]:
    """Flags of a film, in the order of FLAGS.

    Args:
        found: Its ROIs.
        labels: Classes of the detections that count as an ROI, which may be more than are given.
        expected: How many there should be.
        limits: Of the model; without, only the number of ROIs is looked at.
    """
    flags = {"fewer_rois": expected.too_few(labels), "more_rois": expected.too_many(labels)}
    flags.update(turned=found.quarters > 0, inverted=found.inverted)
    if limits is not None:
        values = measures(found)
        for name, (low, high) in limits.ranges.items():
            if (low is not None and (values[name] < low).any()) or (high is not None and (values[name] > high).any()):
                flags[FLAG_OF[name]] = True
    return tuple(name for name in FLAGS if flags.get(name))


def _brightness(films: Sequence[ValidationFilm], share: float) -> int:
    """The sign that all films but a `share` have, 0 if there is none or nobody looked."""
    signs = [film.brightness for film in films if film.brightness is not None]
    return next((sign for sign in (1, -1) if signs and signs.count(sign) >= (1 - share) * len(signs)), 0)


def _range(name: str, values: NDArray[np.float64], share: float) -> Range:
    below, above = _ONE_SIDED.get(name, (True, True))
    if not len(values):
        return None, None
    low, high = np.quantile(values, [share, 1 - share])
    if share > 0:  # of few films the outermost values lie too far in: the tails of a normal distribution
        tail = -NormalDist().inv_cdf(share) * values.std()
        low, high = min(low, values.mean() - tail), max(high, values.mean() + tail)
    return (math.floor(low * 1000) / 1000 if below else None, math.ceil(high * 1000) / 1000 if above else None)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def centre_contrast(film: NDArray[Any], boxes: Boxes) -> NDArray[np.float64]:
    """How much brighter the middles of ROIs are, as two figures whose signs matter; zeros without ROIs.

    Args:
        film: ``[H, W]`` grey.
        boxes: ``[N, 4]`` in its pixels.

    Returns:
        ``[2]``: mean grey of the middle, half as wide as the ROI, less that of the rest of it; and the share of the film
        that is darker than the middle, less a half.
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
    """1 where middles are bright by both figures, -1 where they are dark by both, else 0."""
    return int(np.all(contrast > 0)) - int(np.all(contrast < 0))


def _within(film: NDArray[Any], box: NDArray[np.float64]) -> NDArray[Any]:
    x0, y0, x1, y1 = np.rint(np.maximum(box, 0)).astype(int)
    return film[y0:y1, x0:x1]


ABOVE_ONE_ANOTHER = 45.0  # degrees, and more: nearer to that than to side by side
SAME_WHEN_TURNED = {"unequal_sizes", "odd_ratio"}  # flags that no turn can take away
Look = Callable[[int, bool], FilmDetections]  # quarters, inverted


def best_orientation(film: ShrunkFilm, look: Look, expected: RoiCounts, limits: ReviewLimits) -> FilmDetections:
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
    inverted = limits.brightness * get_sign(contrast) == -1
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
