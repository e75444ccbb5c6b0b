"""Size statistics of a data set, as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hipdet.core.errors import one_line
from hipdet.data.coco_file import Film


@dataclass(frozen=True)
class Spread:
    """Range and spread of values; ``sd`` is the sample standard deviation (n - 1), 0 for a single value."""

    minimum: float
    median: float
    maximum: float
    mean: float
    sd: float

    @classmethod
    def of(cls, values: ArrayLike) -> Spread:
        """The spread of `values` ``[N]``; all NaN if there are none."""
        array = np.asarray(values, dtype=np.float64)
        if not array.size:
            return cls(*[float("nan")] * 5)
        sd = float(array.std(ddof=1)) if array.size > 1 else 0.0
        return cls(float(array.min()), float(np.median(array)), float(array.max()), float(array.mean()), sd)


@dataclass(frozen=True)
class Summary:
    """Numbers of films, ROIs and patients; spread of ratio_ROI/image and of the films' long sides in pixels."""

    films: int
    rois: int
    patients: int
    ratio: Spread
    long_side: Spread

    @classmethod
    def of(cls, films: Sequence[Film]) -> Summary:
        """The summary of `films`."""
        ratios = [ratio for film in films for ratio in film.ratios]
        patients = {(film.source, film.patient) for film in films}
        sides = Spread.of([film.long_side for film in films])
        return cls(len(films), len(ratios), len(patients), Spread.of(ratios), sides)

    def record(self) -> dict[str, Any]:
        """Numbers, the paper's Table 1 (long side in pixels), and ratio_ROI/image, which is None without ROIs."""
        px, ratio = self.long_side, self.ratio
        sides = dict(max=px.maximum, min=px.minimum, median=px.median, mean=round(px.mean, 1), sd=round(px.sd, 1))
        ends = dict(min=round(ratio.minimum, 4), median=round(ratio.median, 4), max=round(ratio.maximum, 4))
        counts = dict(films=self.films, rois=self.rois, patients=self.patients)
        return {**counts, "long_side": sides, "ratio": ends if self.rois else None}


def table1(written: Mapping[Path, Summary]) -> str:
    """One line per written file: films, ROIs, patients, ratio_ROI/image, and the paper's Table 1."""
    width = max(len(path.name) for path in written)
    head = f"{'file':{width}}  films   ROIs  patients  ratio min/median/max     px max    min  median    mean   s.d."
    lines = [head]
    for path, s in written.items():
        ratio = f"{s.ratio.minimum:.3f} / {s.ratio.median:.3f} / {s.ratio.maximum:.3f}"
        px = s.long_side
        sizes = f"{px.maximum:9.0f} {px.minimum:6.0f} {px.median:7.0f} {px.mean:7.1f} {px.sd:6.1f}"
        lines.append(f"{path.name:{width}}  {s.films:5}  {s.rois:5}  {s.patients:8}  {ratio}  {sizes}")
    return "\n".join(map(one_line, lines))
