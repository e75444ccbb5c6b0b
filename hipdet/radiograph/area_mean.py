"""Pictures reduced by the mean over areas, in numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLUMNS = 512  # at a time: sums of a film of 20,000 px a side would take 3 GB


def area_mean(
    values: NDArray[Any], width: int, height: int, columns: float | None = None, rows: float | None = None
) -> NDArray[np.float64]:
    """`values` ``[H, W]`` averaged over equal areas, as OpenCV's INTER_AREA and the configs resize: ``[height, width]``.

    Pillow's box filter takes whole pixels only, which differs by up to 30 greys at sharp edges.

    Args:
        values: Picture.
        width: Of the result.
        height: Of the result.
        columns: That take part; all of them if not given, and part of the last one if it is no whole number.
        rows: Likewise.
    """
    parts = [_mean_rows(values[:, at : at + _COLUMNS], height, rows) for at in range(0, values.shape[1], _COLUMNS)]
    return _mean_rows(np.concatenate(parts, axis=1).T, width, columns).T


def _mean_rows(values: NDArray[Any], rows: int, extent: float | None) -> NDArray[np.float64]:
    """The first `extent` rows of `values`, averaged over `rows` equal parts."""
    height = len(values)
    extent = height if extent is None else extent
    total = np.zeros((height + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    edges = np.linspace(0, extent, rows + 1)
    whole = np.minimum(edges.astype(int), height - 1)
    below = total[whole] + (edges - whole)[:, None] * values[whole]
    return np.diff(below, axis=0) * (rows / extent)
