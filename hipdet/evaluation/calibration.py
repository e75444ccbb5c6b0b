"""Does confidence predict IoU?  Bands of rising confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def calibration(iou: NDArray[np.float64], confidence: NDArray[np.float64], bands: int = 5) -> list[dict[str, float]]:
    """ROIs, each with its IoU and confidence ``[R]``, in `bands` of equal number: mean confidence and mean IoU of each."""
    order = np.argsort(confidence, kind="stable")
    return [
        dict(
            rois=len(part),
            lowest_confidence=float(confidence[part].min()),
            avg_confidence=float(confidence[part].mean()),
            avg_iou=float(iou[part].mean()),
            min_iou=float(iou[part].min()),
        )
        for part in np.array_split(order, min(bands, len(order)))
    ]
