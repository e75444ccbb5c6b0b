"""What anchors can do for ROIs, in closed form: without a loop over cells, as the nearest cell is always the best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.rois import Floats, Rois

MATCH = 0.4  # IoU from which on an anchor is positive (recipe, "Matching")
SIDE_FACTORS = (0.5, 1.5)  # that regression changes a side by; the centre moves by half a cell (recipe, "Decoding")
_ROUNDING = 1e-12


def size_fit(sides: Floats, anchors: AnchorSet) -> Floats:
    """Best IoU ``[N]`` that boxes of `sides` ``[N, 2]`` had with an anchor of the same centre: do the sizes fit?"""
    return _best_concentric(sides, anchors, lambda anchor: anchor)


def reachable_iou(sides: Floats, anchors: AnchorSet) -> Floats:
    """Best IoU ``[N]`` of boxes of `sides` ``[N, 2]`` after regression, whichever anchor does it.

    Every point of the film is within half a cell of a cell's centre, so that only the sides limit it.
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
    """Column and row ``[N, 2]`` of the cell that `centres` ``[N, 2]`` lie in."""
    return np.clip(np.floor(centres * grid).astype(np.int64), 0, grid - 1)


def best_anchors(rois: Rois, anchors: AnchorSet) -> tuple[Floats, NDArray[np.int64]]:
    """Best IoU ``[N]`` of every ROI with an anchor as it is, and which one ``[N]``: a number for kind and cell."""
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
    """Overlap of intervals of length `sides` and `anchor` whose middles are `apart`."""
    return np.clip(np.minimum(np.minimum(sides, anchor), (sides + anchor) / 2 - apart), 0, None)


def positives(rois: Rois, anchors: AnchorSet, threshold: float = MATCH) -> NDArray[np.int64]:
    """Anchors ``[N]`` that reach IoU `threshold` with every ROI; where none does, the best one is forced upon it."""
    count = np.zeros(len(rois), dtype=np.int64)
    sides, centres = rois.sides, rois.centres
    area = product(sides)
    for grid, width, height in anchors.shapes():
        needed = threshold / (1 + threshold) * (area + width * height)  # the intersection at that IoU
        for column in range(grid):
            apart = np.abs(centres[:, 0] - (column + 0.5) / grid)
            across = _common(sides[:, 0], np.array(width), apart)
            with np.errstate(divide="ignore"):
                down = needed / across  # what is left to the other axis; infinite where the columns don't meet
            met = down <= np.minimum(sides[:, 1], height) + _ROUNDING
            reach = np.where(met, (sides[:, 1] + height) / 2 - down, 0)
            y = centres[:, 1]
            first = np.ceil(np.clip((y - reach) * grid - 0.5 - _ROUNDING, 0, None))
            last = np.floor(np.clip((y + reach) * grid - 0.5 + _ROUNDING, None, grid - 1))
            count += np.where(met, np.clip(last - first + 1, 0, None), 0).astype(np.int64)
    return count


def sharing_a_cell(rois: Rois, anchors: AnchorSet) -> NDArray[np.bool_]:
    """Which ROIs ``[N]`` have their centre in a cell of the finest grid with that of another ROI of the film."""
    grid = max(anchors.grids)
    cells = nearest_cells(rois.centres, grid)
    return repeated(rois.films * grid**2 + cells[:, 1] * grid + cells[:, 0])


def contested(rois: Rois, which: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ROIs ``[N]`` have the same best anchor (`which`, of :func:`best_anchors`) as another ROI of the film.

    The assigner can give it to one of them only.
    """
    return repeated(rois.films * (which.max(initial=0) + 2) + which + 1)


def repeated(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of `keys` ``[N]`` stand there more than once."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse.reshape(-1)] > 1
