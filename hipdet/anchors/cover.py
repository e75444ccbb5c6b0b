"""Fewest values that are near enough to nearly all of a data set's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hipdet.anchors.rois import Floats


def best_cover(values: ArrayLike, width: float, most: int) -> list[tuple[float, Floats]]:
    """For 1, 2, ... intervals of `width`: the largest share of `values` ``[N]`` that they can hold, and their middles.

    Exact, by dynamic programming over the sorted values: an interval may as well begin at a value.  Middles are those of
    the values that an interval holds.

    Args:
        values: Of any kind; logarithms where nearness is a factor.
        width: Of an interval.
        most: Number of intervals to go up to; fewer are returned where fewer hold everything.

    Returns:
        For every number of intervals the share and the middles, ascending.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    count = len(x)
    after = np.searchsorted(x, x + width, side="right")  # first value beyond an interval that begins at i
    held = np.zeros(count + 1, dtype=np.int64)  # most values from i on that the intervals so far can hold
    starts: list[np.ndarray] = []  # with k intervals, where the first one that pays begins, from i on
    covers = []
    for _ in range(most):
        gain = after - np.arange(count) + held[after]
        best = np.maximum.accumulate(gain[::-1])[::-1]
        at_best = np.where(gain == best, np.arange(count), count)
        starts.append(np.minimum.accumulate(at_best[::-1])[::-1])
        held = np.append(best, 0)
        covers.append((float(held[0]) / count, _middles(x, after, starts)))
        if held[0] == count:
            break
    return covers


def tightest_cover(values: ArrayLike, share: float, count: int) -> Floats:
    """Middles, ascending, of `count` equal intervals, as narrow as can be, that hold `share` of `values` ``[N]``."""
    x = np.sort(np.asarray(values, dtype=np.float64))
    low, high = 0.0, float(x[-1] - x[0])
    middles = best_cover(x, high, 1)[0][1]
    for _ in range(40):  # bisection, far below rounding
        width = (low + high) / 2
        held, found = best_cover(x, width, count)[-1]
        if held >= share:
            high, middles = width, found
        else:
            low = width
    return middles


def _middles(x: Floats, after: np.ndarray, starts: list[np.ndarray]) -> Floats:
    middles, place = [], 0
    for start in reversed(starts):
        if place == len(x):
            break
        first = start[place]
        place = after[first]
        middles.append((x[first] + x[place - 1]) / 2)
    return np.array(middles)
