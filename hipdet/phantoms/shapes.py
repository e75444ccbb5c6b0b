"""Closed outlines with an optical depth, and the maps that are drawn from them.

Unit of length in this package: one femoral head diameter; for chests, the height of a lung.  The body's origin lies midway
between the femoral head centres, x grows to the right of the picture, y downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """A body seen from the front; its thickness is an optical depth (natural logarithm of the attenuation).

    `contours` are filled by the even-odd rule, so a second one is a hole; if `joined`, each is filled.  The depth grows from
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
    """Affine ``[2, 3]``: scale, rotate by `angle` (radians, +x towards +y), mirror x if `mirror` is -1, move to `centre`."""
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
    """An ellipse ``[steps, 2]`` rotated by `angle` (radians)."""
    t = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1) * np.asarray(radii)
    return affine(placing(centre, angle=angle), circle)


def band(line: ArrayLike, width: ArrayLike) -> Points:
    """The outline ``[2 * N, 2]`` of a strip along `line` ``[N, 2]``; `width` is one number, or one per point."""
    line = np.asarray(line, dtype=np.float64)
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    half = across * (np.asarray(width) * np.ones(len(line)) / 2)[:, None]
    return np.concatenate([line + half, (line - half)[::-1]])


def arc(centre: Sequence[float], radius: float, start: float, stop: float, steps: int = 24) -> Points:
    """Points ``[steps, 2]`` on a circle from `start` to `stop` degrees (0 is +x, 90 is down)."""
    t = np.radians(np.linspace(start, stop, steps))
    return np.stack([centre[0] + radius * np.cos(t), centre[1] + radius * np.sin(t)], axis=1)


Map = NDArray[np.float32]  # [H, W]
SUBPIXEL = 4  # fractional bits of cv2's coordinates


def optical_depth(shapes: Iterable[Shape], size: tuple[int, int], transform: Points) -> Map:
    """Sum of the optical depths of `shapes` on a map of `size` (height, width).

    `transform` ``[2, 3]`` maps the body's coordinates to the map, in continuous pixels.
    """
    canvas: Map = np.zeros(size, dtype=np.float32)
    scale = float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))  # pixels per head diameter
    for shape in shapes:
        _add(canvas, shape, [affine(transform, contour) for contour in shape.contours], scale)
    return canvas


def _add(canvas: Map, shape: Shape, contours: list[Points], scale: float) -> None:
    corners = np.concatenate(contours)
    low = np.floor(corners.min(axis=0)).astype(int) - 2
    high = np.ceil(corners.max(axis=0)).astype(int) + 3
    x0, y0 = np.maximum(low, 0)
    x1, y1 = np.minimum(high, canvas.shape[::-1])
    if x0 >= x1 or y0 >= y1:
        return
    mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
    # cv2 has integer coordinates at pixel centres, we have them at pixel edges
    fixed = [np.round((c - (x0, y0) - 0.5) * 2**SUBPIXEL).astype(np.int32) for c in contours]
    for group in [[contour] for contour in fixed] if shape.joined else [fixed]:
        cv2.fillPoly(mask, group, 1, shift=SUBPIXEL)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(1 / scale)
    inside = 1 - np.exp(depth * np.float32(-1 / shape.taper))
    if shape.cortex:
        rim = (depth - np.float32(shape.shell)) * np.float32(1 / shape.shell)
        inside = shape.body * inside + (shape.cortex * mask) * np.exp(-(rim**2))
        canvas[y0:y1, x0:x1] += inside
    else:
        canvas[y0:y1, x0:x1] += shape.body * inside


def disc(size: tuple[int, int], centre: Points, radius: float, soft: float) -> Map:
    """1 inside a circle (pixels), 0 outside, with an edge about `soft` pixels wide."""
    ys, xs = np.ogrid[: size[0], : size[1]]
    distance = np.hypot(xs + 0.5 - centre[0], ys + 0.5 - centre[1])
    return np.clip((radius - distance) / soft + 0.5, 0, 1).astype(np.float32)


def clouds(rng: np.random.Generator, size: tuple[int, int], cells: float) -> Map:
    """Smooth noise of standard deviation about 1, with blobs about `cells` pixels wide."""
    coarse = rng.standard_normal((int(size[0] / cells) + 3, int(size[1] / cells) + 3), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
