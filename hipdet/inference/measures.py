"""What can be odd about the ROIs of a film, in figures that films of all sizes share.  Pure numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hipdet.inference.reading import Reading

Measures = dict[str, NDArray[np.float64]]

FLAG_OF = {
    "score": "low_score",
    "ratio": "odd_ratio",
    "x": "odd_position",
    "y": "odd_position",
    "distance": "odd_position",
    "tilt": "odd_position",
    "size": "unequal_sizes",
}


def measures(found: Reading) -> Measures:
    """Figures of the ROIs on the film as it was seen.

    Returns:
        One value per ROI: ``score``; ``ratio``, its longer side / the long side of the film; ``x`` and ``y``, its centre as a
        share of width and height, ``x`` counted from the edge on its side.  One value per pair, where a class has two ROIs:
        ``distance`` of their centres in mean sides, ``tilt`` of the line between them against the horizontal in degrees, and
        ``size``, larger / smaller, of that axis where they differ less: the other one may be cut off by the film's edge.
    """
    extent = np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 1e-9)  # [N, 2]
    sides = extent.max(axis=1) if len(extent) else np.zeros(0)
    centre = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    x = centre[:, 0] / found.width
    left = _from_the_left(found, centre[:, 0])
    pairs = [np.flatnonzero(found.labels == label) for label in np.unique(found.labels)]
    pairs = [pair for pair in pairs if len(pair) == 2]
    across = np.array([np.abs(centre[b] - centre[a]) for a, b in pairs]).reshape(-1, 2)
    both = np.array([extent[pair] for pair in pairs]).reshape(-1, 2, 2)  # [P, ROI, axis]
    return {
        "score": found.scores,
        "ratio": sides / max(found.width, found.height),
        "x": np.where(left, x, 1 - x),
        "y": centre[:, 1] / found.height,
        "distance": np.hypot(*across.T) / both.max(axis=2, initial=1e-9).mean(axis=1),
        "tilt": np.degrees(np.arctan2(across[:, 1], across[:, 0])),
        "size": (both.max(axis=1) / both.min(axis=1)).min(axis=1),
    }


def _from_the_left(found: Reading, x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of which ROIs ``[N]`` the place counts from the left edge: of two of a class the left one, else those in the left half.

    That is a matter of place.  Which side of the patient a ROI is on, it doesn't say (:mod:`hipdet.sides`).
    """
    middle = np.full(len(x), found.width / 2)
    for label in np.unique(found.labels):
        same = found.labels == label
        if same.sum() == 2:
            middle[same] = x[same].mean()
    return np.asarray(x < middle)
