"""Odd films whose pixels move: turned, cut, smaller, stretched, framed.

Every change takes a film ``[H, W]``, its boxes ``[N, 4]`` and a generator of random numbers, and returns the new film and
boxes; those of hips that are no longer on the film lie beside it.  Nothing here is used in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipdet.core.boxes import Boxes, turn_boxes

Grey = NDArray[np.uint8]
Made = tuple[Grey, Boxes]
Change = Callable[[Grey, Boxes, np.random.Generator], Made]

STRETCH = 1.25
WHITE = 255


def resized(film: Grey, width: int, height: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> Grey:
    """`film` at another size; Pillow avoids aliasing where it becomes smaller."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(film)).resize((width, height), how))


def placed(boxes: Boxes, scale: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)) -> Boxes:
    """Map the centres of `boxes`, scaled in x and y, then shifted; a square stays one, with the geometric mean side.

    A round head becomes an ellipse if the scales differ; of all squares, this one has the area of the ellipse's own box.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 * scale + shift
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * math.sqrt(scale[0] * scale[1])
    return np.hstack([centre - half, centre + half])


def cropped(film: Grey, boxes: Boxes, x0: int, y0: int, x1: int, y1: int) -> Made:
    """The part of the film from column `x0` to `x1` and from row `y0` to `y1`."""
    return film[y0:y1, x0:x1], placed(boxes, (1, 1), (-x0, -y0))


def turned(quarters: int) -> Change:
    """Rotate by `quarters` times 90 degrees counter-clockwise."""
    return lambda film, boxes, rng: (np.rot90(film, quarters), turn_boxes(boxes, quarters, *film.shape[::-1]))


def one_hip(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Cut between the hips, and keep either side."""
    return one_side(film, boxes, left=bool(rng.integers(2)))


def one_side(film: Grey, boxes: Boxes, left: bool) -> Made:
    """Cut in the middle between the two neighbouring hips that are farthest apart in x, and keep one side."""
    centres = np.sort((boxes[:, 0] + boxes[:, 2]) / 2)
    gap = int(np.diff(centres).argmax())
    cut = round(float(centres[gap : gap + 2].mean()))
    height, width = film.shape
    return cropped(film, boxes, 0, 0, cut, height) if left else cropped(film, boxes, cut, 0, width, height)


def small(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """The whole film in the middle of a black field, .4 to .6 of it."""
    return in_field(film, boxes, rng.uniform(0.4, 0.6))


def in_field(film: Grey, boxes: Boxes, share: float) -> Made:
    """The film with `share` of its width and height, in the middle of a black field of its old size."""
    height, width = film.shape
    w, h = max(1, round(width * share)), max(1, round(height * share))
    left, top = (width - w) // 2, (height - h) // 2
    field = np.zeros_like(film)
    field[top : top + h, left : left + w] = resized(film, w, h, Image.Resampling.LANCZOS)
    return field, placed(boxes, (w / width, h / height), (left, top))


def stretched(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Stretch by a quarter, in width or in height."""
    return stretched_in(film, boxes, wider=bool(rng.integers(2)))


def stretched_in(film: Grey, boxes: Boxes, wider: bool) -> Made:
    """Stretch in width or in height by a quarter; labels as in :func:`placed`: their side grows by the root of 1.25."""
    height, width = film.shape
    w, h = (round(width * STRETCH), height) if wider else (width, round(height * STRETCH))
    return resized(film, w, h), placed(boxes, (w / width, h / height))


def cut(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Crop a side, and the top or the bottom, close to the labels, which stay whole: .02 to .08 of a side is left."""
    margin = rng.uniform(0.02, 0.08) * float((boxes[:, 2] - boxes[:, 0]).mean())
    return cut_at(film, boxes, margin, left=bool(rng.integers(2)), top=bool(rng.integers(2)))


def cut_at(film: Grey, boxes: Boxes, margin: float, left: bool, top: bool) -> Made:
    """Crop at a distance of `margin` px from the outermost labels: on the left or right, and at the top or bottom.

    Where a label reaches the edge of the film already, nothing is cropped.
    """
    height, width = film.shape
    x0, y0 = (max(0, math.floor(edge - margin)) for edge in boxes[:, :2].min(axis=0))
    x1, y1 = (min(size, math.ceil(edge + margin)) for size, edge in zip((width, height), boxes[:, 2:].max(axis=0)))
    across, down = (x0, width) if left else (0, x1), (y0, height) if top else (0, y1)
    return cropped(film, boxes, across[0], down[0], across[1], down[1])


def framed(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """A page about the film, as if it had been scanned from a journal: white or light grey, of unequal widths."""
    left, top, right, bottom = np.rint(rng.uniform(0.04, 0.15, 4) * max(film.shape)).astype(int).tolist()
    grey = WHITE if rng.integers(2) else int(rng.integers(170, 235))
    return on_page(film, boxes, left, top, right, bottom, grey)


def on_page(film: Grey, boxes: Boxes, left: int, top: int, right: int, bottom: int, grey: int) -> Made:
    """The film with borders of these widths in px."""
    page = np.pad(film, ((top, bottom), (left, right)), constant_values=grey)
    return page, placed(boxes, (1, 1), (left, top))
