"""Deep films to 8 or 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[int, Any] = {8: np.uint8, 16: np.uint16}
PERCENTILES = (0.5, 99.5)  # leaves out burnt-in letters and the few hottest pixels of a deep picture


def windowed(values: NDArray[Any], inverted: bool = False, depth: int = 8) -> NDArray[Any]:
    """``[H, W]`` of any depth to `depth` bits, 8 or 16, from its 0.5 to its 99.5 percentile.

    Values that aren't finite become black, a uniform film too.
    """
    step = max(1, int((values.size / 4_000_000) ** 0.5))  # percentiles of a large film from a grid of its pixels
    sample = values[::step, ::step]
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, PERCENTILES) if sample.size else (0.0, 0.0)
    if high <= low and sample.size:  # nearly uniform: all that differs is in the tails
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return np.zeros(values.shape, DTYPES[depth])
    finite = np.isfinite(values)
    grey = np.clip((np.where(finite, values, low).astype(np.float32) - low) / (high - low), 0, 1)
    return np.where(finite, np.rint((2**depth - 1) * (1 - grey if inverted else grey)), 0).astype(DTYPES[depth])
