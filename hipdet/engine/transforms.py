"""Pipeline steps: films loaded upright, random grey-level curves, and rotations that keep square boxes square."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform, RandomFlip
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.fileio.backends import LocalBackend, register_backend

from hipdet.core.annotations import UNKNOWN_TURN
from hipdet.core.errors import ConfigError
from hipdet.radiographs.read import read_radiograph


@register_backend("radiograph")
class RadiographBackend(LocalBackend):
    """A file backend that loads films with :func:`hipdet.radiographs.read.read_radiograph`.

    ``DetInferencer`` looks for a step named exactly ``LoadImageFromFile``, so the backend below it is replaced:
    ``dict(type='LoadImageFromFile', backend_args=dict(backend='radiograph'))``.
    """

    def get(self, filepath: str | Path) -> bytes:
        """The film as a binary portable grey map, which any decoder reads without loss.

        Raises:
            RadiographError: the film is missing, damaged or not a picture.
        """
        pixels = read_radiograph(filepath)
        height, width = pixels.shape
        return f"P5 {width} {height} 255\n".encode() + pixels.tobytes()


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomGamma(BaseTransform):
    """``out = 255 * (x / 255) ** g`` with log g uniform on [-log limit, log limit]: films differ most in this curve.

    Reads and writes ``img`` ``[H, W, C]`` in 0..255; the result is float32.
    """

    limit: float = 1.8

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"RandomGamma: limit must be at least 1, found {self.limit}")

    def transform(self, results: dict) -> dict:
        """Draw g and apply it."""
        spread = math.log(self.limit)
        gamma = math.exp(np.random.uniform(-spread, spread))
        img = results["img"]
        if img.dtype == np.uint8:  # 256 powers instead of one per pixel
            results["img"] = cv2.LUT(img, apply_gamma(np.arange(256), gamma)).reshape(img.shape)
        else:
            results["img"] = apply_gamma(img, gamma)
        return results


def apply_gamma(greys: np.ndarray, gamma: float) -> np.ndarray:
    """``255 * (greys / 255) ** gamma``, float32, of `greys` in 0..255."""
    return 255 * (greys.astype(np.float32) / 255) ** np.float32(gamma)


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomLighting(BaseTransform):
    """fastai's lighting: change contrast around the picture's mean, then brightness (docs/method.md, "Augmentation").

    ``out = (x - mean) * f + mean + b`` on values in [0, 1], clipped, with ``f = 1 + c`` for c >= 0 and ``1 / (1 - c)``
    below; c ~ U(-contrast, contrast) and b ~ U(-balance, balance).  Reads and writes ``img`` ``[H, W, C]`` in 0..255;
    the result is float32.
    """

    balance: float = 0.5
    contrast: float = 0.5

    def transform(self, results: dict) -> dict:
        """Draw b and c and apply them."""
        b = np.random.uniform(-self.balance, self.balance)
        c = np.random.uniform(-self.contrast, self.contrast)
        results["img"] = lighting(results["img"], b, c)
        return results


def lighting(img: np.ndarray, b: float, c: float) -> np.ndarray:
    """Apply brightness `b` and contrast `c` to `img` ``[H, W, C]`` in 0..255; float32."""
    pixels = img.astype(np.float32, copy=False)
    mean = pixels.mean()
    factor = 1 + c if c >= 0 else 1 / (1 - c)
    pixels = pixels - mean
    pixels *= np.float32(factor)
    pixels += mean + np.float32(255 * b)
    return np.clip(pixels, 0, 255, out=pixels)


class Similarity(NamedTuple):
    """A transform around the picture's centre, applied in this order: mirror, stretch, zoom, rotate, shift."""

    angle: float = 0.0  # degrees, counter-clockwise as seen
    scale: float = 1.0
    dx: float = 0.0  # pixels
    dy: float = 0.0
    flip: bool = False
    stretch: float = 1.0  # of the width by its root, of the height by 1 / its root

    def matrix(self, width: int, height: int) -> np.ndarray:
        """The ``[2, 3]`` matrix that maps continuous pixel edges ``(x, y)`` of the old picture to the new."""
        cx, cy = width / 2, height / 2
        c, s = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        mirror = -1 if self.flip else 1
        linear = self.scale * np.array([[c * mirror, s], [-s * mirror, c]])
        linear *= np.array([self.stretch, 1 / self.stretch]) ** 0.5
        return np.column_stack([linear, np.array([cx + self.dx, cy + self.dy]) - linear @ [cx, cy]])

    def orientation(self, quarters: int, inverted: int) -> tuple[int, int]:
        """What `RandomOrientation` notes, after this transform: in a mirror image, films lie on the other side."""
        if quarters == UNKNOWN_TURN:
            return quarters, inverted
        return ((-quarters if self.flip else quarters) - round(self.angle / 90)) % 4, inverted


def warp(img: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Warp `img` ``[H, W, C]`` by `matrix`, which is for continuous pixel edges; pixels from outside are 0."""
    # OpenCV's coordinates refer to pixel centres
    shift = np.array([0.5, 0.5])
    centred = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ shift - shift])
    return cv2.warpAffine(img, centred, (img.shape[1], img.shape[0]), flags=cv2.INTER_LINEAR)


def warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map the centres of `boxes` ``[N, 4]`` and scale their sides.

    A square encloses a round object, the femoral head, which needs the same square after a rotation.  The enclosing box of
    the rotated corners would be 2.6% larger on average at 3 degrees, and the network would learn this.  Beyond 45 degrees,
    width and height are swapped.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if abs(matrix[0, 1]) > abs(matrix[0, 0]):
        half = half[:, ::-1]
    return np.concatenate([centre - half, centre + half], axis=1)


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomSimilarity(BaseTransform):
    """Random rotation (paper, section 3.4), and for small data sets also zoom, shift and mirroring.

    Reads and writes ``img`` ``[H, W, C]``, ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags``.  Boxes whose centre
    leaves the picture are dropped; an ignored box is kept while any part of it is visible, as that part isn't background.
    ``orientation`` (from `RandomOrientation`) changes with the film.  In a mirror image, labels become their
    ``mirrored_labels`` (from `RoiDataset`), if given.

    Args:
        max_degrees: Angle ~ U(-max, max).
        rotate_prob: Probability of any rotation.
        scale: Zoom ~ U(low, high).
        max_shift: Shift of either axis ~ U(-max, max), as a share of the side.
        flip_prob: Probability of a mirror image.
        quarter_turn_prob: Probability of another 90, 180 or 270 degrees, for films that are rotated by as much.
        max_stretch: Width over height changes by a factor of 1 / max .. max, uniform in the logarithm; boxes keep their
            shape and get the geometric mean of both sides' changes, so it is for square ROIs.
    """

    max_degrees: float = 3.0
    rotate_prob: float = 0.9
    scale: tuple[float, float] = (1.0, 1.0)
    max_shift: float = 0.0
    flip_prob: float = 0.0
    quarter_turn_prob: float = 0.0
    max_stretch: float = 1.0

    def __post_init__(self) -> None:
        if self.max_stretch < 1:
            raise ConfigError(f"RandomSimilarity: max_stretch must be 1 or more, found {self.max_stretch}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"RandomSimilarity: scale must be (low, high) with 0 < low <= high, found {self.scale}")

    def draw(self, width: int, height: int) -> Similarity:
        """One random transform for a picture of this size; always the same number of draws."""
        turn, angle, scale, dx, dy, flip = np.random.uniform(size=6)
        degrees = (2 * angle - 1) * self.max_degrees if turn < self.rotate_prob else 0.0
        if self.quarter_turn_prob:  # configs without it keep their sequence of draws
            quarter, turns = np.random.uniform(size=2)
            degrees += 90 * (1 + int(3 * turns)) if quarter < self.quarter_turn_prob else 0
        stretch = 1.0
        if self.max_stretch > 1:
            stretch = self.max_stretch ** (2 * np.random.uniform() - 1)
        return Similarity(
            angle=degrees,
            scale=self.scale[0] + scale * (self.scale[1] - self.scale[0]),
            dx=(2 * dx - 1) * self.max_shift * width,
            dy=(2 * dy - 1) * self.max_shift * height,
            flip=bool(flip < self.flip_prob),
            stretch=stretch,
        )

    def transform(self, results: dict) -> dict:
        """Draw a transform and apply it to the picture and its boxes."""
        height, width = results["img"].shape[:2]
        drawn = self.draw(width, height)
        if drawn == Similarity():
            return results
        matrix = drawn.matrix(width, height)
        results["img"] = warp(results["img"], matrix)
        boxes = warp_boxes(results["gt_bboxes"].numpy().astype(np.float64), matrix)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((centre > 0) & (centre < [width, height])).all(axis=1)
        if "gt_ignore_flags" in results:
            seen = ((boxes[:, 2:] > 0) & (boxes[:, :2] < [width, height])).all(axis=1)
            inside |= seen & np.asarray(results["gt_ignore_flags"], dtype=bool)
        results["gt_bboxes"] = HorizontalBoxes(boxes[inside].astype(np.float32))
        for key in ("gt_bboxes_labels", "gt_ignore_flags"):
            if key in results:
                results[key] = results[key][inside]
        mirrored = np.linalg.det(matrix[:, :2]) < 0  # a rotation keeps left and right
        if "orientation" in results:
            results["orientation"] = drawn.orientation(*results["orientation"])
        if mirrored and {"mirrored_labels", "gt_bboxes_labels"} <= results.keys():
            results["gt_bboxes_labels"] = np.asarray(results["mirrored_labels"])[results["gt_bboxes_labels"]]
        return results


def mirroring_steps(step: Any) -> Iterator[Any]:
    """`step` of a built pipeline, or the steps inside it, that can give a mirror image.

    Only `RandomSimilarity` and the `RandomFlip` of mmcv and mmdet are known; ``diagonal`` flips are rotations by 180°.
    """
    if isinstance(step, RandomSimilarity):
        mirrors = step.flip_prob > 0
    elif isinstance(step, RandomFlip):
        directions = [step.direction] if isinstance(step.direction, str) else step.direction
        mirrors = np.sum(step.prob) > 0 and any(direction != "diagonal" for direction in directions)
    else:
        mirrors = False
        for name in ("transforms", "subroutines"):  # steps that contain others
            inner = getattr(step, name, ())
            for each in inner if isinstance(inner, (list, tuple)) else [inner]:
                yield from mirroring_steps(each)
    if mirrors:
        yield step
