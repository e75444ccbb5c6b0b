"""The metrics of the paper's Tables 2 and 3, their bootstrap intervals, and whether the score predicts the IoU."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.core.annotations import Group
from hipdet.core.boxes import Boxes
from hipdet.core.spacing import Spacing
from hipdet.evaluation.matching import HIT, FilmResult, RoiResult

RESAMPLES = 2000
Interval = tuple[float, float]
PATIENTS, GROUPS, FILMS = "patients", "groups", "films"


def roi_metrics(iou: ArrayLike, score: ArrayLike) -> dict[str, float]:
    """Metrics over ROIs, each with its IoU and score ``[R]``; both are 0 for an ROI without a detection.

    ``acc50`` is the paper's hit rate, (ROIs with IoU >= 0.5) / (all ROIs), printed there as "AP50"; it is not COCO's AP50.

    Raises:
        ValueError: there is no ROI.
    """
    overlap, score = np.asarray(iou, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if not overlap.size:
        raise ValueError("no ground-truth ROI to evaluate")
    metrics = {
        "avg_iou": overlap.mean(),
        "min_iou": overlap.min(),
        "avg_conf": score.mean(),
        "min_conf": score.min(),
        "acc50": (overlap >= 0.5).mean(),
        "acc75": (overlap >= 0.75).mean(),
        "below50": (overlap < 0.5).sum(),
        "num_rois": overlap.size,
    }
    return {name: float(value) for name, value in metrics.items()}


def summarize(films: Sequence[FilmResult]) -> dict[str, float]:
    """:func:`roi_metrics` over all ROIs of `films`, also of the oracle; extra detections and missed ROIs per image.

    Raises:
        ValueError: there is no ROI.
    """
    rois = [roi for film in films for roi in film.rois]
    metrics = roi_metrics([roi.iou for roi in rois], [roi.score for roi in rois])
    oracle = roi_metrics([roi.oracle_iou for roi in rois], [roi.oracle_score for roi in rois])
    return {
        **metrics,
        "num_images": float(len(films)),
        "extra_per_image": float(np.mean([film.extra for film in films])),
        "missed_per_image": float(np.mean([film.missed for film in films])),
        **{f"oracle_{name}": oracle[name] for name in ("avg_iou", "min_iou", "avg_conf", "acc50")},
    }


def placement_errors(label: Boxes, found: Boxes, spacing: Spacing | None) -> dict[str, float]:
    """How far the box `found` ``[4]`` is off the `label` ``[4]``; without mm if the film has no spacing.

    The centre error is the distance of the centres; the size error is the difference in width or in height, whichever is
    larger.  Both are in sides of the ROI, the longer of the label's, and in mm.
    """
    low, high = (found - label).reshape(2, 2)
    units = {"error": 1 / (label[2:] - label[:2]).max(), **({"mm": spacing.mm} if spacing else {})}  # per pixel
    centre = {f"centre_{unit}": float(np.hypot(*((low + high) / 2 * each))) for unit, each in units.items()}
    return {**centre, **{f"size_{unit}": float(np.abs((high - low) * each).max()) for unit, each in units.items()}}


def presence_metrics(
    films: Sequence[FilmResult],
    classes: Sequence[str] = (),
    least_score: ArrayLike = 0.0,
    rois: Sequence[RoiResult] | None = None,
) -> dict[str, float]:
    """Whether the ROIs of `films` are given as such, and nothing else; the top detections are as many as a film may have.

    Args:
        films: Films with their ROIs and top detections.
        classes: Names of several classes, for ``recall/<class>``.
        least_score: Score from which a detection is an ROI, for all classes or for each ``[C]``; below it, it is a candidate.
        rois: The labels to count, if not all of `films`.

    Returns:
        ``recall``, the share of labels with an ROI of IoU 0.5 matched one to one; ``label_iou``, the mean over labels of the
        IoU with the best ROI or candidate of their class; ``false_per_film``, ROIs that hit no label and lie on no ignored
        box, on each film whose other ROIs are known to be absent.  Without labels, or such films, the metric is left out.
    """
    least = np.asarray(least_score, dtype=np.float64)
    rois = [roi for film in films for roi in film.rois] if rois is None else rois
    labels = np.array([roi.label for roi in rois], dtype=np.int64)
    limits = least[labels] if least.ndim else least
    given = np.array([roi.iou for roi in rois]) >= HIT
    given &= np.array([roi.score for roi in rois]) >= limits
    metrics = {}
    if rois:
        metrics = dict(recall=float(given.mean()), label_iou=float(np.mean([roi.best_iou for roi in rois])))
        metrics.update(
            (f"recall/{classes[each]}", float(given[labels == each].mean())) for each in np.unique(labels) if classes
        )
    if known := [film for film in films if film.absence_known]:
        metrics["false_per_film"] = float(np.mean([film.false_rois(least) for film in known]))
    return metrics


def group_metrics(
    films: Sequence[FilmResult], rois: Sequence[RoiResult], least_score: ArrayLike = 0.0
) -> dict[str, float]:
    """Metrics of a group of `rois`, such as those of children, and of the `films` that have it.

    `least_score` is as for :func:`presence_metrics`, whose metrics are among them.
    """
    metrics = {"extra_per_image": float(np.mean([film.extra for film in films]))}
    metrics.update(presence_metrics(films, (), least_score, rois))
    if rois:
        found = roi_metrics([roi.iou for roi in rois], [roi.score for roi in rois])
        metrics.update((name, found[name]) for name in ("avg_iou", "acc50", "num_rois"))
    return metrics


def bootstrap_intervals(iou: ArrayLike, units: ArrayLike, seed: int = 0) -> dict[str, Interval]:
    """95% percentile intervals of ``avg_iou`` and ``acc50``; `units` are resampled, so the ROIs of a patient stay together.

    If every ROI is a hit, all resamples are alike and the interval of ``acc50`` is a point.

    Args:
        iou: IoU of each ROI ``[R]``, or of each seed and ROI ``[S, R]`` for the interval of the mean over seeds.
        units: The patient of each ROI ``[R]``, or the film if the patient isn't known, see `Units`.
        seed: Seed of the resampling.
    """
    overlap = np.atleast_2d(np.asarray(iou, dtype=np.float64))
    per_roi = dict(avg_iou=overlap.mean(axis=0), acc50=(overlap >= 0.5).mean(axis=0))
    return {name: mean_interval(value, units, seed) for name, value in per_roi.items()}


def mean_interval(value: ArrayLike, units: ArrayLike, seed: int = 0) -> Interval:
    """95% percentile interval of the mean of `value`, one per ROI ``[R]``; the `units` ``[R]`` are resampled."""
    _, unit = np.unique(np.asarray(units), return_inverse=True)
    total, count = np.bincount(unit, weights=np.asarray(value)), np.bincount(unit).astype(np.float64)  # [units]
    if len(count) < 2:  # all resamples of one unit are alike
        mean = float(total.sum() / count.sum())
        return mean, mean
    from scipy.stats import bootstrap  # imported here: pictures without labels don't need SciPy

    drawn = bootstrap(
        (total, count),
        lambda t, c, axis=-1: t.sum(axis=axis) / c.sum(axis=axis),
        n_resamples=RESAMPLES,
        batch=100,
        vectorized=True,
        paired=True,
        method="percentile",
        random_state=seed,
    ).confidence_interval
    return float(drawn.low), float(drawn.high)


def share_interval(hits: int, count: int) -> Interval:
    """Wilson's 95% interval of the share of `hits` in `count`, at least one, as if each were independent."""
    from scipy.stats import binomtest  # imported here: pictures without labels don't need SciPy

    ends = binomtest(hits, count).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def calibration(iou: NDArray[np.float64], score: NDArray[np.float64], bands: int = 5) -> list[dict[str, float]]:
    """Sort ROIs by score into `bands` of equal size, given the IoU and score ``[R]`` of each; score and IoU of each band."""
    order = np.argsort(score, kind="stable")
    return [
        dict(
            rois=len(part),
            lowest_confidence=float(score[part].min()),
            avg_confidence=float(score[part].mean()),
            avg_iou=float(iou[part].mean()),
            min_iou=float(iou[part].min()),
        )
        for part in np.array_split(order, min(bands, len(order)))
    ]


@dataclass(frozen=True)
class Units:
    """What a bootstrap resamples: patients, because the films of a patient are alike, or a substitute for them.

    Attributes:
        numbers: Index of the unit of each ROI ``[R]``.
        kinds: What that unit is ``[R]``: PATIENTS, GROUPS (each is perhaps one patient) or FILMS.
    """

    numbers: NDArray[np.int64]
    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, films: Sequence[Hashable], patients: Mapping[Hashable, Hashable] | None = None) -> Units:
        """From the film of each ROI ``[R]`` and the patients or groups of the films, as far as they are known."""
        patients = patients or {}
        number: dict[tuple[str, Hashable], int] = {}
        units = [(FILMS, film) if film not in patients else (PATIENTS, patients[film]) for film in films]
        units = [(GROUPS if isinstance(unit, Group) else kind, unit) for kind, unit in units]
        numbers = [number.setdefault(unit, len(number)) for unit in units]
        return cls(np.array(numbers, dtype=np.int64), np.array([kind for kind, _ in units], dtype=np.str_))

    def at(self, chosen: NDArray[Any]) -> Units:
        """The units of the ROIs that `chosen`, indices or a mask, selects."""
        return Units(self.numbers[chosen], self.kinds[chosen])

    @property
    def resampled(self) -> str:
        """What is resampled, in words."""
        others = " and ".join(kind for kind in (GROUPS, FILMS) if kind in self.kinds)
        if others and PATIENTS in self.kinds:
            return f"{PATIENTS}, and {others} whose patient is not known"
        return f"{others} (patients not known)" if others else PATIENTS
