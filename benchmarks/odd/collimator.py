"""Odd films of a kind made after the training recipe was frozen: a collimator leaves a slanted field about the hips.

Arguments and results are those of :mod:`odd.geometry`.  Nothing here is used in training.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from odd.geometry import WHITE, Grey, Made

Floats = NDArray[np.float64]

FIELDS = (4, 4, 6, 8)  # sides of the field: rectangles are as frequent as all others


def collimator(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """A field of four, six or eight sides about all labels, slanted by 4 to 14 degrees; the rest is black or dim scatter.

    Each side stays clear of the labels by at least .05 of their side, and at most by .2 (tight) to 1.6, as drawn for the
    film.
    """
    long, side = max(film.shape), float((boxes[:, 2:] - boxes[:, :2]).mean())
    slant = math.radians(rng.uniform(4, 14)) * (1 if rng.integers(2) else -1)
    count, most = int(rng.choice(FIELDS)), rng.uniform(0.2, 1.6)
    distance = outside(film.shape, boxes, slant, side * rng.uniform(0.05, most, count))
    return shaded(film, distance, rng.uniform(0.004, 0.02) * long, scatter(distance, long, rng)), boxes


def outside(shape: tuple[int, ...], boxes: Boxes, slant: float, margins: Floats) -> Floats:
    """How far in px each pixel ``[H, W]`` is outside a convex field about `boxes`; 0 within.

    The field has one side for each of `margins`, at this distance in px from the outermost corner of the boxes; the first
    side is on the right, slanted by `slant` radians, and the others follow at equal angles.
    """
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    corners = np.vstack([boxes[:, [across, down]] for across in (0, 2) for down in (1, 3)])
    distance = np.zeros(shape)
    for number, margin in enumerate(margins):
        angle = slant + 2 * math.pi * number / len(margins)
        normal = np.array([math.cos(angle), math.sin(angle)])
        end = float((corners @ normal).max()) + margin
        distance = np.maximum(distance, x * normal[0] + y * normal[1] - end)
    return distance


def scatter(distance: Floats, long: int, rng: np.random.Generator) -> Floats:
    """Greys beside the field: below 12 or, on half of the films, 30 to 80 with grain, falling off with the distance."""
    dim = bool(rng.integers(2))
    level, grain = (rng.uniform(30, 80), rng.uniform(2, 5)) if dim else (rng.uniform(0, 12), 0.0)
    greys: Floats = level * np.exp(-distance / (rng.uniform(0.2, 0.6) * long)) + rng.normal(0, grain, distance.shape)
    return greys


def shaded(film: Grey, distance: Floats, soft: float, beside: Floats) -> Grey:
    """The film where `distance` is 0, `beside` from `soft` px on, and a smooth change between."""
    lit = np.clip(1 - distance / soft, 0, 1)
    lit = lit**2 * (3 - 2 * lit)
    return np.clip(np.rint(beside + (film - beside) * lit), 0, WHITE).astype(np.uint8)
