"""From optical depth to grey: quanta, scatter, noise, windowing, gamma.  Bone is bright."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hipdet.phantom.canvas import Map
from hipdet.phantom.depth import Depths
from hipdet.phantom.sources import Source

Pixels = NDArray[np.uint8]  # [H, W]


def develop(depths: Depths, look: Source, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """The film ``[H, W]`` of `size` (height, width)."""
    scatter = rng.uniform(0.0, 0.12)
    soft = depths.soft + _slope(depths.soft.shape, rng)
    depth = _scattered(soft + depths.bone + depths.metal, scatter)
    low, high = _window(_scattered(soft + depths.bone, scatter), depths.soft, look, rng)
    depth = np.asarray(cv2.GaussianBlur(depth, (0, 0), rng.uniform(0.5, 1.1)))
    amount = rng.uniform(*look.sharpen)
    if amount > 0.1:  # the edge enhancement of computed radiography
        depth = depth + np.float32(amount) * (depth - cv2.GaussianBlur(depth, (0, 0), depth.shape[1] / 40))
    interpolation = cv2.INTER_AREA if depths.scale > 1 else cv2.INTER_CUBIC
    film = np.asarray(cv2.resize(depth, size[::-1], interpolation=interpolation), dtype=np.float32)
    # quantum noise: the standard deviation of -log(count) is 1 / sqrt(count)
    noise = np.exp(np.minimum(film, 6) * np.float32(0.5))
    noise *= np.float32(10 ** (-0.5 * rng.uniform(*look.photons)))
    noise *= rng.standard_normal(size, dtype=np.float32)
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 0.9))
    film += noise
    film -= np.float32(low)
    film *= np.float32(1023 / (high - low))
    levels = np.clip(film, 0, 1023).astype(np.uint16)
    return _curve(look, rng)[levels]


def _slope(size: tuple[int, ...], rng: np.random.Generator) -> Map:
    """Uneven light: the tube's heel effect and a patient not quite in the middle of the beam."""
    down, across = rng.normal(0, 0.12, 2)
    ys, xs = np.ogrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    return np.asarray(down * ys + across * xs, dtype=np.float32)


def _scattered(depth: Map, share: float) -> Map:
    """`depth` as the film sees it when a `share` of the mean light in the neighbourhood is spread evenly."""
    light = np.exp(-depth)
    small = cv2.resize(light, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    fog = cv2.resize(cv2.GaussianBlur(small, (0, 0), small.shape[1] / 10), depth.shape[::-1])
    return np.asarray(-np.log(light * np.float32(1 - share) + fog * np.float32(share) + np.float32(5e-3)))


def _window(depth: Map, soft: Map, look: Source, rng: np.random.Generator) -> tuple[float, float]:
    """The depths that become black and white; metal has no say."""
    step = max(1, min(depth.shape) // 128)
    body = depth[::step, ::step][soft[::step, ::step] > 0.3]
    if body.size < 16:
        body = depth.ravel()
    white = rng.uniform(*look.white)
    high = float(np.quantile(body, white)) + rng.uniform(0.0, 0.4)
    low = float(np.quantile(body, rng.uniform(0.0, 0.25))) * rng.uniform(0.2, 1.0)
    return low, max(high, low + 0.5)


def _curve(look: Source, rng: np.random.Generator) -> Pixels:
    """Grey ``[1024]`` for each level: gamma, a gentle S, fog at black and missing white."""
    level = np.linspace(0, 1, 1024) ** rng.uniform(*look.gamma)
    bend = rng.uniform(-0.1, 0.35)
    level = level * (1 - bend) + bend * level**2 * (3 - 2 * level)
    black, missing = rng.uniform(*look.contrast_loss, size=2) * rng.uniform(0, 1, 2)
    return np.round(255 * (black + level * (1 - black - missing))).astype(np.uint8)
