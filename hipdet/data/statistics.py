"""Size figures of a data set, as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hipdet.data.coco_file import Film


@dataclass(frozen=True)
class Spread:
    """How values spread; ``sd`` is of a sample (n - 1), 0 for a single value."""

    minimum: float
    median: float
    maximum: float
    mean: float
    sd: float

    @classmethod
    def of(cls, values: ArrayLike) -> Spread:
        """The spread of `values` ``[N]``; all NaN when there are none."""
        array = np.asarray(values, dtype=np.float64)
        if not array.size:
            return cls(*[float("nan")] * 5)
        sd = float(array.std(ddof=1)) if array.size > 1 else 0.0
        return cls(float(array.min()), float(np.median(array)), float(array.max()), float(array.mean()), sd)


@dataclass(frozen=True)
class Summary:
    """Counts of films, ROIs and patients; spread of ratio_ROI/image and of the films' long sides in pixels."""

    films: int
    rois: int
    patients: int
    ratio: Spread
    long_side: Spread


def summarize(films: Sequence[Film]) -> Summary:
    """The figures of `films`."""
    ratios = [ratio for film in films for ratio in film.ratios]
    return Summary(
        films=len(films),
        rois=len(ratios),
        patients=len({(film.source, film.patient) for film in films}),
        ratio=Spread.of(ratios),
        long_side=Spread.of([film.long_side for film in films]),
    )
