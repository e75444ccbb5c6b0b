"""Odd films whose grey values change while their boxes stay: inverted, badly exposed, blurred, noisy.

Arguments and results are those of :mod:`odd.geometry`.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from hipdet.core.boxes import Boxes
from odd.geometry import WHITE, Grey, Made, resized

LEVELS = np.arange(256) / WHITE
BLURRED_SIDE = 100  # px of the long side
GRAINS = 500  # of noise, along the long side


def with_curve(film: Grey, curve: np.ndarray) -> Grey:
    """`film` with every grey replaced by the value of `curve` ``[256]``, which is 0 for black and 1 for white."""
    greys = np.rint(np.clip(curve, 0, 1) * WHITE).astype(np.uint8)
    changed: Grey = greys[film]
    return changed


def ordinary(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """As it is."""
    return film, boxes


def inverted(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Bone is black."""
    return WHITE - film, boxes


def dark(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Too dark: a curve that sags, to half of the range."""
    return with_curve(film, 0.5 * LEVELS ** rng.uniform(1.8, 2.6)), boxes


def burnt(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Overexposed, so that the brightest .2 to .4 of what is within the labels is white, and its detail lost."""
    height, width = film.shape
    edges = np.rint(np.clip(boxes, 0, [width, height, width, height])).astype(int).tolist()
    greys = np.concatenate([film[y0:y1, x0:x1].ravel() for x0, y0, x1, y1 in edges])
    white = np.quantile(greys, 1 - rng.uniform(0.2, 0.4)) / WHITE
    return with_curve(film, LEVELS / max(white, 1 / WHITE)), boxes


def low_contrast(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """All greys within .12 to .2 of the range, somewhere in its middle."""
    span, middle = rng.uniform(0.12, 0.2), rng.uniform(0.35, 0.65)
    return with_curve(film, middle + span * (LEVELS - 0.5)), boxes


def blurred(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """No more detail than 100 px of the long side show, at the old size."""
    height, width = film.shape
    scale = min(1.0, BLURRED_SIDE / max(height, width))
    low = resized(film, max(1, round(width * scale)), max(1, round(height * scale)), Image.Resampling.LANCZOS)
    return resized(low, width, height), boxes


def noisy(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Grain of 12 to 24 greys, coarse enough (1/500 of the long side) to be seen when the film is reduced."""
    height, width = film.shape
    scale = min(1.0, GRAINS / max(height, width))
    grain = rng.normal(0, rng.uniform(12, 24), (max(1, round(height * scale)), max(1, round(width * scale))))
    spread = Image.fromarray(grain.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.rint(film + np.asarray(spread)), 0, WHITE).astype(np.uint8), boxes
