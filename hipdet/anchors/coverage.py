"""How well a set of anchors covers the ROIs of a data set, and which few sizes cover nearly all of them.

This is computed in closed form, without a loop over cells: the nearest cell always has the best anchor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.rois import Floats, Rois
from hipdet.core.errors import DatasetError

MATCH = 0.4  # IoU from which an anchor is positive (docs/method.md, "Matching")
SIDE_FACTORS = (
    0.5,
    1.5,
)  # by which regression can scale a side; centres move by half a cell (docs/method.md, "Decoding")
_ROUNDING = 1e-12


def size_fit(sides: Floats, anchors: AnchorSet) -> Floats:
    """Best IoU ``[N]`` of boxes with `sides` ``[N, 2]`` with a concentric anchor: do the sizes fit?"""
    return _best_concentric(sides, anchors, lambda anchor: anchor)


def reachable_iou(sides: Floats, anchors: AnchorSet) -> Floats:
    """Best IoU ``[N]`` that regression can reach from any anchor for boxes with `sides` ``[N, 2]``.

    Every point of the film is within half a cell of a cell's centre, so only the sides limit the IoU.
    """
    low, high = SIDE_FACTORS
    return _best_concentric(sides, anchors, lambda anchor: np.clip(sides, low * anchor, high * anchor))


def _best_concentric(sides: Floats, anchors: AnchorSet, chosen: Callable[[Floats], Floats]) -> Floats:
    best = np.zeros(len(sides))
    area = product(sides)
    for _, width, height in anchors.shapes():
        other = chosen(np.array([width, height]))
        common = product(np.minimum(sides, other))
        np.maximum(best, common / (area + product(other) - common), out=best)
    return best


def product(sides: Floats) -> Floats:
    """Width times height of ``[..., 2]``; numpy's own product of so short an axis is five times slower."""
    return np.asarray(sides[..., 0] * sides[..., 1])


def nearest_cells(centres: Floats, grid: int) -> NDArray[np.int64]:
    """Column and row ``[N, 2]`` of the cells that contain `centres` ``[N, 2]``."""
    return np.clip(np.floor(centres * grid).astype(np.int64), 0, grid - 1)


def best_anchors(rois: Rois, anchors: AnchorSet) -> tuple[Floats, NDArray[np.int64]]:
    """Best IoU ``[N]`` of each ROI with an anchor before regression, and the anchor ``[N]``: a number for kind and cell."""
    best, which = np.zeros(len(rois)), np.full(len(rois), -1, dtype=np.int64)
    sides, centres = rois.sides, rois.centres
    area = product(sides)
    cells_of_all = max(anchors.grids) ** 2
    for kind, (grid, width, height) in enumerate(anchors.shapes()):
        anchor = np.array([width, height])
        cells = nearest_cells(centres, grid)
        common = product(_common(sides, anchor, np.abs(centres - (cells + 0.5) / grid)))
        iou = common / (area + width * height - common)
        better = iou > best
        best[better] = iou[better]
        which[better] = (kind * cells_of_all + cells[:, 1] * grid + cells[:, 0])[better]
    return best, which


def _common(sides: Floats, anchor: Floats, apart: Floats) -> Floats:
    """Overlap of intervals of length `sides` and `anchor` whose centres are `apart`."""
    return np.clip(np.minimum(np.minimum(sides, anchor), (sides + anchor) / 2 - apart), 0, None)


def positives(rois: Rois, anchors: AnchorSet, threshold: float = MATCH) -> NDArray[np.int64]:
    """Number ``[N]`` of anchors that reach IoU `threshold` with each ROI; where it is 0, training forces a match."""
    count = np.zeros(len(rois), dtype=np.int64)
    sides, centres = rois.sides, rois.centres
    area = product(sides)
    for grid, width, height in anchors.shapes():
        needed = threshold / (1 + threshold) * (area + width * height)  # the intersection at that IoU
        apart = np.abs(centres[:, :, None] - (np.arange(grid) + 0.5) / grid)
        common = _common(sides[:, :, None], np.array([[width], [height]]), apart)  # [N, 2, grid]
        met = common[:, 0, :, None] * common[:, 1, None] >= (needed * (1 - _ROUNDING))[:, None, None]
        count += met.sum(axis=(1, 2))
    return count


def sharing_a_cell(rois: Rois, anchors: AnchorSet) -> NDArray[np.bool_]:
    """Which ROIs ``[N]`` have their centre in the same cell of the finest grid as another ROI of the film."""
    grid = max(anchors.grids)
    cells = nearest_cells(rois.centres, grid)
    return repeated(rois.films * grid**2 + cells[:, 1] * grid + cells[:, 0])


def contested(rois: Rois, which: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ROIs ``[N]`` have the same best anchor (`which`, from :func:`best_anchors`) as another ROI of the film.

    The assigner can match the anchor to one of them only.
    """
    return repeated(rois.films * (which.max(initial=0) + 2) + which + 1)


def repeated(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of `keys` ``[N]`` occur more than once."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)] > 1


FIT = 0.7  # size fit from which an ROI has an anchor of its size: the lowest between the paper's scales 0.7 and 1.0
# concentric boxes whose aspects differ by a factor k reach IoU 1 / (2 sqrt(k) - 1), at the best size
ASPECT_FIT = ((1 / FIT + 1) / 2) ** 2
ROUNDING = 1e-9


@dataclass(frozen=True)
class AnchorMetrics:
    """How well anchors cover ROIs.  Shares are of ROIs, between 0 and 1.

    Attributes:
        anchors: Number of anchors on an image.
        smallest: Side of the smallest anchor / side of the image.
        largest: Side of the largest anchor / side of the image.
        in_range: Share whose size lies between the two: coverage of the ratio range.
        fitted: Share with an anchor of their size (IoU 0.7 or more if concentric): what a plan must reach.
        matched: Share that an anchor overlaps by IoU 0.4 or more, so that training needn't force a match.
        best_iou: Mean IoU of ROIs with their best anchor.
        reachable_iou: Mean of the best IoU that regression can reach.
        positives: Median number of positive anchors of an ROI, 1 for a forced match; from a subsample of large data sets.
        sharing_a_cell: Share whose centre lies in the same cell as another ROI's.
        contested: Share whose best anchor is another ROI's too: only one of them gets it.
    """

    anchors: int
    smallest: float
    largest: float
    in_range: float
    fitted: float
    matched: float
    best_iou: float
    reachable_iou: float
    positives: float
    sharing_a_cell: float
    contested: float

    @classmethod
    def of(cls, rois: Rois, anchors: AnchorSet) -> AnchorMetrics:
        """Compute how well `anchors` cover `rois`.

        Raises:
            DatasetError: there is no ROI.
        """
        if not len(rois):
            raise DatasetError(
                "no ROI in the data, expected at least one, as the metrics are shares of ROIs: label some"
            )
        smallest, largest = anchors.ratio_range
        sizes = rois.sizes
        best, which = best_anchors(rois, anchors)
        inside = (sizes >= smallest - ROUNDING) & (sizes <= largest + ROUNDING)
        return cls(
            anchors=anchors.per_image,
            smallest=smallest,
            largest=largest,
            in_range=float(inside.mean()),
            fitted=fitted_share(rois, anchors),
            matched=float((best >= MATCH).mean()),
            best_iou=float(best.mean()),
            reachable_iou=float(reachable_iou(rois.sides, anchors).mean()),
            positives=float(np.median(np.maximum(positives(rois.subsample, anchors), 1))),
            sharing_a_cell=float(sharing_a_cell(rois, anchors).mean()),
            contested=float(contested(rois, which).mean()),
        )


def fitted_share(rois: Rois, anchors: AnchorSet) -> float:
    """Share of ROIs with an anchor of their size."""
    return float((size_fit(rois.sides, anchors) >= FIT - ROUNDING).mean())


def may_fit(rois: Rois, aspects: tuple[float, ...]) -> float:
    """Share of ROIs that could have an anchor of their size with one of `aspects`, given enough scales."""
    apart = np.abs(np.log(rois.aspects[:, None] / np.array(aspects))).min(axis=1)
    return float((apart <= np.log(ASPECT_FIT) + ROUNDING).mean())


def best_cover(values: ArrayLike, width: float, most: int) -> list[tuple[float, Floats]]:
    """The largest share of `values` ``[N]`` that 1, 2, ... intervals of `width` can hold, and the intervals' midpoints.

    Exact, by dynamic programming over the sorted values: it suffices that intervals start at a value.  A midpoint is that
    of the values in the interval.

    Args:
        values: Numbers; take logarithms where distances are ratios.
        width: Width of an interval.
        most: Largest number of intervals; fewer are returned if they hold all values.

    Returns:
        For each number of intervals the share and the ascending midpoints.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    count = len(x)
    after = np.searchsorted(x, x + width, side="right")  # first value beyond an interval that starts at i
    held = np.zeros(count + 1, dtype=np.int64)  # most values from i on that the intervals so far can hold
    starts: list[np.ndarray] = []  # for k intervals, the best start of the first one at i or later
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
    """Ascending midpoints of the `count` narrowest equal intervals that hold `share` of `values` ``[N]``."""
    x = np.sort(np.asarray(values, dtype=np.float64))
    low, high = 0.0, float(x[-1] - x[0])
    middles = best_cover(x, high, 1)[0][1]
    for _ in range(40):  # bisection, to 1e-12 of the range
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
