"""The fewest scales on given grids that give nearly every ROI an anchor of its size."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.cover import tightest_cover
from hipdet.anchors.figures import FIT, ROUNDING, fitted_share, may_fit
from hipdet.anchors.goal import EQUAL, Goal
from hipdet.anchors.rois import SKETCH, Floats, Rois

MOST_SCALES = 32
STEP = 0.05  # scales are multiples of it, as in the paper; finer below half a cell
ONE_SIZE = 1.02  # largest / smallest ROI that one scale stands for


class ScaleChooser:
    """Chooses scales for `rois`, whatever the grids and aspects.

    Args:
        rois: At least one.
        goal: Equal steps or fitted scales, and the share of ROIs that needs an anchor of its size.
    """

    def __init__(self, rois: Rois, goal: Goal) -> None:
        self.rois = rois
        self.goal = goal
        self._sketch = rois.sketch
        tails = [(1 - goal.coverage) / 2, (1 + goal.coverage) / 2]
        self._span = tuple(map(float, np.quantile(rois.sizes, tails)))
        self._fitted: dict[int, Floats] = {}

    def fewest(self, grids: tuple[int, ...], aspects: tuple[float, ...]) -> AnchorSet | None:
        """The smallest set on `grids` with `aspects` that gives the goal's share an anchor of its size, if there is one.

        Equal steps must leave no gap between two sizes either, whether films of this data set lie in it or not.
        """
        if may_fit(self.rois, aspects) < self.goal.coverage:
            return None
        for anchors in self.growing(grids, aspects):
            if self.goal.scales == EQUAL and anchors.worst_fit < FIT - ROUNDING:
                continue
            # the sketch is off by some ROIs; the whole decides
            nearly = fitted_share(self._sketch, anchors) >= self.goal.coverage - 10 / SKETCH
            if nearly and fitted_share(self.rois, anchors) >= self.goal.coverage:
                return anchors
        return None

    def growing(self, grids: tuple[int, ...], aspects: tuple[float, ...]) -> Iterator[AnchorSet]:
        """Sets of ever more scales."""
        for count in range(1, MOST_SCALES + 1):
            scales = self.scales(grids, count)
            if scales:
                yield AnchorSet(grids, scales, aspects)

    def scales(self, grids: tuple[int, ...], count: int) -> tuple[float, ...]:
        """`count` scales for `grids`; none where equal steps can't span the sizes with so few."""
        if self.goal.scales == EQUAL:
            low, high = self._span[0] * max(grids), self._span[1] * min(grids)
            # of several maps the finer one's largest anchors must meet the coarser one's smallest
            meeting = low * max(grids) / min(grids) if len(grids) > 1 else 0.0
            return equal_steps(low, max(high, meeting), count)
        if count not in self._fitted:
            self._fitted[count] = np.exp(tightest_cover(np.log(self._sketch.sizes), self.goal.coverage, count))
        return fitted_scales(self._fitted[count], grids)


def equal_steps(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` scales in equal steps from `low` or below to `high` or beyond, in cells, as round numbers (paper, Table 2)."""
    if count == 1:
        return (_round_number(math.sqrt(low * high)),) if high <= ONE_SIZE * low else ()
    unit = STEP if low >= 10 * STEP else 10.0 ** (math.floor(math.log10(low)) - 1)
    start = math.floor(low / unit + 1e-6) * unit
    step = max(math.ceil((high - start) / (count - 1) / unit - 1e-6), 1) * unit
    return tuple(_round_number(start + step * index) for index in range(count))


def fitted_scales(sizes: Floats, grids: tuple[int, ...]) -> tuple[float, ...]:
    """Scales for `sizes`, sides in units of the image; of several grids the coarsest serves those above the middle."""
    middle = math.sqrt(float(sizes.min() * sizes.max()))
    grid = np.where(sizes > middle, min(grids), max(grids))
    return tuple(sorted({_round_number(float(scale)) for scale in sizes * grid}))


def _round_number(value: float) -> float:
    """Four digits, and no trace of binary fractions."""
    return float(f"{value:.4g}")
