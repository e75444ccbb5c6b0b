"""The figures of the paper's Tables 2 and 3, how sure they are, and whether confidence predicts IoU."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.core.annotations import Group
from hipdet.evaluation.matching import FilmResult

RESAMPLES = 2000
Interval = tuple[float, float]
PATIENTS, GROUPS, FILMS = "patients", "groups", "films"


def roi_metrics(iou: ArrayLike, score: ArrayLike) -> dict[str, float]:
    """Figures over ROIs, each with its IoU and confidence ``[R]``; an ROI without a detection has 0 for both.

    ``acc50`` is the paper's hit rate, (ROIs with IoU >= 0.5) / (all ROIs), printed there as "AP50"; it is not COCO's AP50.

    Raises:
        ValueError: no ROI at all: there is nothing to average.
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
    """:func:`roi_figures` over all ROIs of `films`, the oracle's, and extra and missed detections per image.

    Raises:
        ValueError: no ROI at all.
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


def bootstrap_intervals(iou: ArrayLike, units: ArrayLike, seed: int = 0) -> dict[str, Interval]:
    """95% percentile intervals of ``avg_iou`` and ``acc50``, resampling `units`: the ROIs of a patient stay together.

    Where every ROI is a hit, resampling can't show doubt and the interval of ``acc50`` is a point.

    Args:
        iou: Of every ROI ``[R]``, or of every seed and ROI ``[S, R]``: the interval of the mean over seeds.
        units: The patient of every ROI ``[R]``, or the film where patients aren't known, see `Units`.
        seed: Of the resampling.
    """
    overlap = np.atleast_2d(np.asarray(iou, dtype=np.float64))
    per_roi = dict(avg_iou=overlap.mean(axis=0), acc50=(overlap >= 0.5).mean(axis=0))
    return {name: mean_interval(value, units, seed) for name, value in per_roi.items()}


def mean_interval(value: ArrayLike, units: ArrayLike, seed: int = 0) -> Interval:
    """95% percentile interval of the mean of a `value` per ROI ``[R]``, resampling the `units` ``[R]``."""
    _, unit = np.unique(np.asarray(units), return_inverse=True)
    total, count = np.bincount(unit, weights=np.asarray(value)), np.bincount(unit).astype(np.float64)  # [units]
    if len(count) < 2:  # one unit: no resample differs
        mean = float(total.sum() / count.sum())
        return mean, mean
    from scipy.stats import bootstrap  # here: pictures need it only where films are compared with labels

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


def calibration(iou: NDArray[np.float64], score: NDArray[np.float64], bands: int = 5) -> list[dict[str, float]]:
    """ROIs, each with its IoU and confidence ``[R]``, in `bands` of equal number: mean confidence and mean IoU of each."""
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
    """What a bootstrap draws every ROI with: patients, as the films of one are alike, or what stands for them.

    Attributes:
        numbers: The unit of every ROI ``[R]``.
        kinds: Whether it is one of PATIENTS, of GROUPS that may be of a patient each, or of FILMS ``[R]``.
    """

    numbers: NDArray[np.int64]
    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, films: Sequence[Hashable], patients: Mapping[Hashable, Hashable] | None = None) -> Units:
        """From the film of every ROI ``[R]`` and the patients of films, or groups, as far as they are known."""
        patients = patients or {}
        number: dict[tuple[str, Hashable], int] = {}
        units = [(FILMS, film) if film not in patients else (PATIENTS, patients[film]) for film in films]
        units = [(GROUPS if isinstance(unit, Group) else kind, unit) for kind, unit in units]
        numbers = [number.setdefault(unit, len(number)) for unit in units]
        return cls(np.array(numbers, dtype=np.int64), np.array([kind for kind, _ in units], dtype=np.str_))

    def at(self, chosen: NDArray[Any]) -> Units:
        """Those that `chosen`, indices or a mask, names."""
        return Units(self.numbers[chosen], self.kinds[chosen])

    @property
    def resampled(self) -> str:
        """What is drawn, in words."""
        others = " and ".join(kind for kind in (GROUPS, FILMS) if kind in self.kinds)
        if others and PATIENTS in self.kinds:
            return f"{PATIENTS}, and {others} whose patient is not known"
        return f"{others} (patients not known)" if others else PATIENTS
