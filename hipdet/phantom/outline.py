"""Closed outlines and what they are filled with.

Unit of length in this package: one femoral head diameter.  The body's origin lies midway between the femoral head
centres, x grows to the right of the picture, y downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A body seen from the front.  Thickness is optical depth (natural logarithm of the attenuation).

    `contours` are filled even-odd, so that a second one is a hole, or all of them if they are `joined`.  The depth grows from
    the rim to `body` over the distance `taper`; within `shell` of the rim the cortex adds up to `cortex`.
    """

    contours: tuple[Points, ...]  # each [N, 2]
    body: float
    taper: float = 0.1
    cortex: float = 0.0
    shell: float = 0.04
    joined: bool = False

    def moved(self, transform: Points) -> Shape:
        """The shape after an affine `transform` ``[2, 3]``."""
        return replace(self, contours=tuple(affine(transform, contour) for contour in self.contours))


def affine(transform: Points, points: ArrayLike) -> Points:
    """Apply ``[2, 3]`` `transform` to `points` ``[N, 2]``."""
    return np.asarray(points, dtype=np.float64) @ transform[:, :2].T + transform[:, 2]


def placing(centre: ArrayLike, mirror: int = 1, scale: float = 1.0, angle: float = 0.0) -> Points:
    """Affine ``[2, 3]``: scale, turn by `angle` (radians, +x towards +y), mirror x if `mirror` is -1, move to `centre`."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[mirror * cos, -mirror * sin], [sin, cos]])
    return np.column_stack([linear, np.asarray(centre)])


def curve(landmarks: ArrayLike, steps: int = 6) -> Points:
    """A smooth closed curve ``[N * steps, 2]`` through `landmarks` ``[N, 2]`` (uniform Catmull-Rom)."""
    p1 = np.asarray(landmarks, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, axis=0), np.roll(p1, -1, axis=0), np.roll(p1, -2, axis=0)
    t = (np.arange(steps) / steps)[None, :, None]  # [1, steps, 1]
    a, b, c, d = (p[:, None] for p in (p0, p1, p2, p3))
    points = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return points.reshape(-1, 2)


def ellipse(centre: ArrayLike, radii: ArrayLike, angle: float = 0.0, steps: int = 48) -> Points:
    """An ellipse ``[steps, 2]`` turned by `angle` (radians)."""
    t = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1) * np.asarray(radii)
    return affine(placing(centre, angle=angle), circle)


def band(line: ArrayLike, width: ArrayLike) -> Points:
    """The outline ``[2 * N, 2]`` of a strip of `width` (one, or one for each point) along `line` ``[N, 2]``."""
    line = np.asarray(line, dtype=np.float64)
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    half = across * (np.asarray(width) * np.ones(len(line)) / 2)[:, None]
    return np.concatenate([line + half, (line - half)[::-1]])


def arc(centre: Sequence[float], radius: float, start: float, stop: float, steps: int = 24) -> Points:
    """Points ``[steps, 2]`` on a circle from `start` to `stop` degrees (0 is +x, 90 is down)."""
    t = np.radians(np.linspace(start, stop, steps))
    return np.stack([centre[0] + radius * np.cos(t), centre[1] + radius * np.sin(t)], axis=1)
