"""Whether bone is dark on a film, from the greys where its ROIs are.  Pure numpy.

The network hardly minds an inverted film, so its scores don't tell.  The middle of a hip, the femoral head, is brighter than
the rest of its square and than most of the film, whatever the exposure; the middle of a lung is darker.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import Boxes


def centre_contrast(film: NDArray[Any], boxes: Boxes) -> NDArray[np.float64]:
    """How much brighter the middles of ROIs are, as two figures whose signs matter; zeros without ROIs.

    Args:
        film: ``[H, W]`` grey.
        boxes: ``[N, 4]`` in its pixels.

    Returns:
        ``[2]``: mean grey of the middle, half as wide as the ROI, less that of the rest of it; and the share of the film
        that is darker than the middle, less a half.
    """
    figures = []
    for box in boxes:
        whole, middle = _within(film, box), _within(film, (box + _centre_twice(box)) / 2)
        rest = whole.size - middle.size
        if middle.size and rest > 0:
            outside = (whole.sum(dtype=np.float64) - middle.sum(dtype=np.float64)) / rest
            figures.append([middle.mean() - outside, np.mean(film < middle.mean()) - 0.5])
    return np.mean(figures, axis=0) if figures else np.zeros(2)


def sign_of(contrast: NDArray[np.float64]) -> int:
    """1 where middles are bright by both figures, -1 where they are dark by both, else 0."""
    return int(np.all(contrast > 0)) - int(np.all(contrast < 0))


def _centre_twice(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The centre of `box`, twice."""
    return np.tile((box[:2] + box[2:]) / 2, 2)


def _within(film: NDArray[Any], box: NDArray[np.float64]) -> NDArray[Any]:
    x0, y0, x1, y1 = np.rint(np.maximum(box, 0)).astype(int)
    return film[y0:y1, x0:x1]
