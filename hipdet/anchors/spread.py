"""How large the ROIs of a data set are: the paper's Figure 4, in figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hipdet.anchors.rois import Floats, Rois

QUANTILES = (0.0, 0.005, 0.5, 0.995, 1.0)


@dataclass(frozen=True)
class RoiSpread:
    """ROIs of one data set, or of one of its classes.  Spreads are minimum, 0.5%, median, 99.5%, maximum.

    Attributes:
        name: Of the data set.
        label: Of the class; empty for all.
        films: Also those without ROI.
        rois: Number.
        most_rois: On one film.
        usual_rois: On most films that have any.
        ratio: ratio_ROI/image, of the longer side.
        width: Of an ROI / long side of the film.
        height: The same.
        aspect: Height / width.
        long_side: Of films in pixels.
    """

    name: str
    label: str
    films: int
    rois: int
    most_rois: int
    usual_rois: int
    ratio: tuple[float, ...]
    width: tuple[float, ...]
    height: tuple[float, ...]
    aspect: tuple[float, ...]
    long_side: tuple[float, ...]

    @classmethod
    def of(cls, name: str, rois: Rois, label: str = "") -> RoiSpread:
        """The spread of `rois`, of which there is at least one."""
        per_film = np.bincount(rois.films, minlength=len(rois.long_sides))
        labelled = per_film[per_film > 0]
        return cls(
            name=name,
            label=label,
            films=len(rois.long_sides),
            rois=len(rois),
            most_rois=int(labelled.max()),
            usual_rois=int(np.bincount(labelled).argmax()),
            ratio=_spread(rois.ratios),
            width=_spread(rois.sides[:, 0]),
            height=_spread(rois.sides[:, 1]),
            aspect=_spread(rois.aspects),
            long_side=_spread(rois.long_sides),
        )


def spreads(name: str, rois: Rois) -> Iterator[RoiSpread]:
    """The spread of a data set, then of each of its classes if ROIs of several are there."""
    yield RoiSpread.of(name, rois)
    labels = np.unique(rois.labels)
    if len(labels) > 1:
        for label in labels.tolist():
            yield RoiSpread.of(name, rois.of_class(label), rois.classes[label])


def _spread(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))
