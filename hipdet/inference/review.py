"""Which films somebody should check: measures that don't depend on a film's size, and limits from validation films."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.core.classes import RoiCounts
from hipdet.core.errors import CheckpointError, DatasetError
from hipdet.core.records import Record, finite
from hipdet.core.spacing import Spacing
from hipdet.inference.detections import FilmDetections, FilmRois
from hipdet.inference.presence import Presence, ValidationFilm, least_scores, presence_limits

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
    """Measures of the ROIs on the film as the network saw it.

    Returns:
        One value per ROI: ``score``; ``ratio``, its longer side / the long side of the film; ``x`` and ``y``, its centre as a
        share of width and height; ``x`` is measured from the edge on the ROI's side of the film, or of its pair.  One value
        per pair if a class has two ROIs: ``distance`` of their centres in mean sides; ``tilt`` of the line between them
        against the horizontal, in degrees; ``size``, larger / smaller, on the axis where they differ less: the film's edge
        may cut them off on the other one.
    """
    extent = np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 1e-9)  # [N, 2]
    sides = extent.max(axis=1) if len(extent) else np.zeros(0)
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    x, middle = centre[:, 0] / found.width, np.full(len(extent), found.width / 2)
    pairs = [np.flatnonzero(found.labels == label) for label in np.unique(found.labels)]
    pairs = [pair for pair in pairs if len(pair) == 2]
    for pair in pairs:  # the left one of a pair is measured from the left edge, whichever the patient's side
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
    "candidates": "a detection that may be an ROI, but scores less than the model's limit",
    "low_score": "a score below those of validation films",
    "unequal_sizes": "the two ROIs of a class differ in size more than on validation films",
    "odd_ratio": "ratio_ROI/image outside that of validation films",
    "odd_position": "position, distance or slope of the ROIs outside those of validation films",
    "turned": "the film is rotated by 90 degrees or upside down, so it was rotated for the model",
    "inverted": "the film's greys are inverted, so it was inverted for the model",
}
SHARE = 0.002  # of the ROIs on validation films that are beyond each of eleven limits (docs/results/hips.md, "Flags")
_ONE_SIDED = {"score": (True, False), "tilt": (False, True), "size": (False, True)}


@dataclass(frozen=True)
class ReviewLimits:
    """The range of each measure on validation films.

    Attributes:
        films: Number of validation films.
        share: Share of their ROIs beyond each limit, which is the rate of flags to expect on similar films.
        least_score: Score from which a detection is an ROI, of classes without a limit of their own.
        ranges: Lowest and highest usual value of each of :func:`hipdet.inference.review.measures`; None for no limit.
        presence: Limit of each class, and what it costs on these films.
        lowest_hit: Lowest score of a hit on these films; None if it wasn't kept.
    """

    films: int
    share: float
    least_score: float
    ranges: Mapping[str, Range]
    presence: Mapping[str, Presence] = field(default_factory=dict)
    lowest_hit: float | None = None

    def least_scores(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """Scores ``[C]`` from which a detection of each class is an ROI."""
        return least_scores(self.least_score, self.presence, classes)

    def candidate_scores(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """Scores ``[C]`` from which one is a candidate at least: half of the limit, or that of the lowest hit."""
        lowest = 1.0 if self.lowest_hit is None else self.lowest_hit
        return np.minimum(self.least_scores(classes) / 2, lowest)

    def to_json(self) -> dict[str, Any]:
        """Plain values of the limits."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, source: object) -> ReviewLimits:
        """The inverse of :meth:`to_json`; errors name `source`, the file.  Other entries, as older files have, are ignored.

        Raises:
            CheckpointError: `values` aren't review limits.
        """
        remedy = "write them again with hipdet export --calibrate"
        limits = Record.of(values, f"{source}: review limits can't be read", CheckpointError, remedy)
        ranges = limits.record("ranges")
        return cls(
            limits.whole("films", 1),
            limits.number("share", 0, 0.5),
            limits.number("least_score", 0, 1),
            {name: _ends(ranges, name) for name in ranges.values},
            _presence_of(limits) if "presence" in limits.values else {},  # older cards lack it
            None if limits.values.get("lowest_hit") is None else limits.number("lowest_hit", 0, 1),
        )


def build_limits(films: Sequence[ValidationFilm], share: float = SHARE, classes: Sequence[str] = ()) -> ReviewLimits:
    """Limits that leave out at most `share` of the hits on `films` at each end, rounded outwards to thousandths.

    Args:
        films: Films that the model wasn't trained on, also such that lack a class or have no ROI at all.
        share: Share of the hits beyond each limit.
        classes: Names in the order of the model's labels, for limits of presence of their own.

    Raises:
        DatasetError: the films have no hits.
    """
    usual: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FLAG_OF}
    for film in films:
        hit = film.hits
        if hit.any():
            for name, values in measures(film.found.at(hit)).items():
                usual[name].append(values)
    if not usual["score"]:
        raise DatasetError(
            f"{len(films)} validation films without a single hit, from which limits can't be set: check weights and labels"
        )
    ranges = {name: usual_range(name, np.concatenate(values), share) for name, values in usual.items()}
    least, presence = presence_limits(films, classes)
    lowest = math.floor(1000 * min(float(scores.min()) for scores in usual["score"])) / 1000
    return ReviewLimits(len(films), share, least, ranges, presence, lowest)


@dataclass(frozen=True)
class JudgedFilm:
    """What of the detections on a film are ROIs.

    Attributes:
        rois: The ROIs, best first.
        candidates: Detections that may be ROIs, but score less than the limit, best first.
        flags: Why somebody should check the film.
        shown: Number of detections that score enough, which may be more than a film may have.
    """

    rois: FilmDetections
    candidates: FilmDetections
    flags: tuple[str, ...]
    shown: int

    def record(
        self,
        name: str,
        path: Path | None,
        classes: Sequence[str],
        paired: Collection[int],
        patient_side: str | None = None,
        spacing: Spacing | None = None,
        contrast: float | None = None,
    ) -> FilmRois:
        """The film's record; for the arguments see :class:`FilmRois` and :meth:`FilmDetections.picture_sides`."""
        rois = self.rois
        width, height = (rois.height, rois.width) if rois.quarters % 2 else (rois.width, rois.height)
        given = rois.as_rois(classes, rois.picture_sides(self.shown, patient_side, paired))
        candidates = self.candidates.as_rois(classes, [""] * len(self.candidates.scores), True)
        turned = 90 * rois.quarters
        return FilmRois(
            name, path, width, height, given, self.flags, turned, rois.inverted, None, candidates,
            spacing.mm if spacing else None, spacing.plane if spacing else None, contrast,
        )  # fmt: skip


def judge(found: FilmDetections, expected: RoiCounts, limits: ReviewLimits | None, stated: bool = False) -> JudgedFilm:
    """Tell the ROIs among the detections on a film; see docs/method.md, "Presence".

    Args:
        found: All detections.
        expected: How many ROIs a film may have.
        limits: Review limits of the model; without them, the best detections are all ROIs.
        stated: Whether a user says so who knows the films: of a class with one number, so many are ROIs whatever they score.
    """
    best = expected.best(found.scores, found.labels)
    if limits is None:
        rois = found.at(best)
        return JudgedFilm(rois, rois.at(best[:0]), film_flags(rois, rois.labels, expected, None), len(found.scores))
    enough = found.reaching(limits.least_scores(expected.classes))
    given = enough.copy()
    if stated:
        given[best] |= expected.fixed[found.labels[best]]
    possible = found.reaching(limits.candidate_scores(expected.classes))
    rois, candidates = found.at(best[given[best]]), found.at(best[possible[best] & ~given[best]])
    flags = {*film_flags(rois, found.labels[given], expected, limits)}
    flags |= {"candidates"} if len(candidates.scores) else set()
    flags |= {"low_score"} if (given & ~enough).any() else set()
    return JudgedFilm(rois, candidates, tuple(name for name in FLAGS if name in flags), int(given.sum()))


def film_flags(
    found: FilmDetections, labels: NDArray[np.int64], expected: RoiCounts, limits: ReviewLimits | None
) -> tuple[str, ...]:
    """Flags of a film, in the order of FLAGS.

    Args:
        found: Its ROIs.
        labels: Class indices of all detections that score enough, which may be more than `found` has.
        expected: How many ROIs a film should have.
        limits: Review limits of the model; without them, only the number of ROIs is checked.
    """
    flags = {"fewer_rois": expected.too_few(labels), "more_rois": expected.too_many(labels)}
    flags.update(turned=found.quarters > 0, inverted=found.inverted)
    if limits is not None:
        flags.update(dict.fromkeys(odd_measures(measures(found), limits.ranges), True))
    return tuple(name for name in FLAGS if flags.get(name))


def odd_measures(values: Measures, ranges: Mapping[str, Range]) -> set[str]:
    """Flags of a film whose ROIs have the measures `values`, by the usual `ranges`."""
    return {FLAG_OF[name] for name, usual in ranges.items() if is_outside(values[name], usual).any()}


def is_outside(values: NDArray[np.float64], usual: Range) -> NDArray[np.bool_]:
    """Which `values` are below or above the range that is `usual`."""
    low, high = (sign * math.inf if end is None else end for sign, end in zip((-1, 1), usual))
    outside: NDArray[np.bool_] = (values < low) | (values > high)
    return outside


def usual_range(name: str, values: NDArray[np.float64], share: float) -> Range:
    """The range of the measure `name` beyond which at most a `share` of `values` lies at each end that has a limit."""
    below, above = _ONE_SIDED.get(name, (True, True))
    if not len(values):
        return None, None
    low, high = np.quantile(values, [share, 1 - share])
    if share > 0:  # a few films have too narrow a range: widen it to the tails of a normal distribution
        tail = -NormalDist().inv_cdf(share) * values.std()
        low, high = min(low, values.mean() - tail), max(high, values.mean() + tail)
    return (math.floor(low * 1000) / 1000 if below else None, math.ceil(high * 1000) / 1000 if above else None)


def _presence_of(limits: Record) -> dict[str, Presence]:
    classes = limits.record("presence")
    return {name: Presence.from_json(classes.record(name)) for name in classes.values}


def _ends(ranges: Record, name: str) -> Range:
    """The lowest and the highest usual value of the measure `name`; None for no limit."""
    ends = ranges.values[name]
    known = name in FLAG_OF and isinstance(ends, (list, tuple)) and len(ends) == 2
    low, high = (None if end is None else finite(end) for end in ends) if known else (None, None)
    if not known or [low, high] != list(ends) or (low is not None and high is not None and low > high):
        ranges.refuse(name, f"a range of one of {', '.join(FLAG_OF)}: [lowest, highest], null for no limit")
    return low, high
