"""Shapes to maps of optical depth."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from hipdet.phantom.outline import Points, Shape, affine

Map = NDArray[np.float32]  # [H, W]
SUBPIXEL = 4  # fractional bits of cv2's coordinates


def draw(shapes: Iterable[Shape], size: tuple[int, int], transform: Points) -> Map:
    """Sum of the optical depths of `shapes` on a map of `size` (height, width).

    `transform` ``[2, 3]`` leads from the body's coordinates to pixel edges of the map.
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
    # pixel centres have integer coordinates in cv2: half a pixel less than our edges
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
    """Smooth noise with standard deviation about 1 and blobs of `cells` pixels."""
    coarse = rng.standard_normal((int(size[0] / cells) + 3, int(size[1] / cells) + 3), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
