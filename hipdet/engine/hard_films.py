"""Pipeline steps that make films as hard as those from the web: rotated, inverted, blurred, compressed, written on, cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from numpy.typing import NDArray

from hipdet.core.annotations import UNKNOWN_TURN
from hipdet.core.boxes import Boxes, turn_boxes

Film = NDArray[np.uint8]  # [H, W]
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_PLAIN)
LETTERS = "ABCDEFGHILMNOPRSTUabcdefghilmnoprstu0123456789 .,:-/()"


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomOrientation(BaseTransform):
    """Rotate films by quarter turns and invert them, and note how: for the orientation head.

    It comes before films are padded to a square, so that the padding doesn't tell.  Reads and writes ``img`` ``[H, W, C]``
    uint8 and ``gt_bboxes``; writes ``orientation``: quarter turns counter-clockwise that make the film upright, and
    whether it is inverted.  The turn isn't known of a film that isn't ``upright`` (from `RoiDataset`).

    Args:
        turn_prob: Probability of 90, 180 or 270 degrees.
        invert_prob: Probability of inverted greys.
    """

    turn_prob: float = 0.3
    invert_prob: float = 0.1

    def transform(self, results: dict) -> dict:
        """Draw an orientation and apply it."""
        turn, which, invert = np.random.uniform(size=3)
        quarters = 1 + int(3 * which) if turn < self.turn_prob else 0
        inverted = bool(invert < self.invert_prob)
        height, width = results["img"].shape[:2]
        if quarters:
            results["img"] = np.ascontiguousarray(np.rot90(results["img"], quarters))
            results["img_shape"] = results["img"].shape[:2]
            boxes = turn_boxes(results["gt_bboxes"].numpy(), quarters, width, height)
            results["gt_bboxes"] = HorizontalBoxes(boxes.astype(np.float32))
        if inverted:
            results["img"] = 255 - results["img"]
        results["orientation"] = (-quarters % 4 if results.get("upright") else UNKNOWN_TURN, int(inverted))
        return results


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomDegradation(BaseTransform):
    """Films that were made small, compressed or are noisy.  Reads and writes ``img`` uint8 of one channel.

    Args:
        blur_prob: Probability of a loss of resolution.
        resolution: Pixels that are left along the side, log-uniform.
        jpeg_prob: Probability of JPEG compression.
        quality: Its quality, log-uniform.
        noise_prob: Probability of noise.
        noise: Its largest standard deviation, in grey values.
    """

    blur_prob: float = 0.25
    resolution: tuple[float, float] = (80.0, 320.0)
    jpeg_prob: float = 0.2
    quality: tuple[float, float] = (7.0, 60.0)
    noise_prob: float = 0.1
    noise: float = 15.0

    def transform(self, results: dict) -> dict:
        """Draw what happens, in the order in which it does to films."""
        film = results["img"].squeeze()
        blur, noise, jpeg = np.random.uniform(size=3)
        if noise < self.noise_prob:
            spread = np.random.uniform(0, self.noise)
            film = np.clip(film + np.random.normal(0, spread, film.shape), 0, 255).astype(np.uint8)
        if blur < self.blur_prob:
            film = lower_resolution(film, log_uniform(*self.resolution))
        if jpeg < self.jpeg_prob:
            film = compress(film, round(log_uniform(*self.quality)))
        results["img"] = film.reshape(results["img"].shape)
        return results


def log_uniform(low: float, high: float) -> float:
    """A random number from `low` to `high`, uniform in its logarithm."""
    return math.exp(np.random.uniform(math.log(low), math.log(high)))


def lower_resolution(film: Film, side: float) -> Film:
    """`film` as it looks after it was reduced to `side` pixels along its long side and enlarged again."""
    height, width = film.shape
    factor = min(side / max(height, width), 1.0)
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_CUBIC if np.random.uniform() < 0.5 else cv2.INTER_LINEAR
    reduced = cv2.resize(film, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=way), dtype=np.uint8)


def compress(film: Film, quality: int) -> Film:
    """`film` after JPEG compression of `quality` 1 to 100."""
    done, content = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), dtype=np.uint8) if done else film


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomMarks(BaseTransform):
    """What people and machines add to films, each with a probability of its own.  Labels stay as they are.

    Reads and writes ``img`` uint8 of one channel; reads ``gt_bboxes``, whose centres no edge comes near.

    Args:
        text_prob: Lines of letters, on a bar or not.
        arrow_prob: Arrows, lines and circles.
        edge_prob: Around a random rectangle, all is of one grey: a light box, a page, or a cut film.
    """

    text_prob: float = 0.15
    arrow_prob: float = 0.1
    edge_prob: float = 0.15

    def transform(self, results: dict) -> dict:
        """Draw the marks."""
        film = np.ascontiguousarray(results["img"].squeeze())
        boxes = results["gt_bboxes"].numpy()
        steps: tuple[tuple[float, Callable[[Film, Boxes], None]], ...] = (
            (self.edge_prob, draw_edges), (self.text_prob, draw_text), (self.arrow_prob, draw_arrows),
        )  # fmt: skip
        for probability, draw in steps:
            if np.random.uniform() < probability:
                draw(film, boxes)
        results["img"] = film.reshape(results["img"].shape)
        return results


def draw_text(film: Film, boxes: Boxes) -> None:
    """Write one to four lines on `film`, anywhere, bright or dark, perhaps on a bar."""
    height, width = film.shape
    size = np.random.uniform(0.3, 1.6) * height / 448
    font, thick = FONTS[np.random.randint(len(FONTS))], 1 + int(np.random.uniform(0, 3) * size)
    grey, ground = (int(each) for each in np.random.choice([0, 40, 200, 255], 2, replace=False))
    x, y = int(np.random.uniform(-0.05, 0.8) * width), int(np.random.uniform(0.05, 1) * height)
    lines = [
        "".join(np.random.choice([*LETTERS], np.random.randint(1, 40)))
        for _ in range(np.random.choice([1, 1, 1, 2, 4]))
    ]
    (_, tall), base = cv2.getTextSize(lines[0], font, size, thick)
    step = tall + base + 2
    if np.random.uniform() < 0.4:
        cv2.rectangle(film, (x - 4, y - tall - 4), (width, y + step * (len(lines) - 1) + base), ground, -1)
    for number, line in enumerate(lines):
        cv2.putText(film, line, (x, y + number * step), font, size, grey, thick, cv2.LINE_AA)


def draw_arrows(film: Film, boxes: Boxes) -> None:
    """Draw one to three arrows, lines or circles, often at a label, as readers do."""
    height, width = film.shape
    for _ in range(np.random.randint(1, 4)):
        point = np.random.uniform(0, 1, 2) * [width, height]
        if len(boxes) and np.random.uniform() < 0.6:
            box = boxes[np.random.randint(len(boxes))]
            point = box[:2] + np.random.uniform(-0.1, 1.1, 2) * (box[2:] - box[:2])
        end = point + np.random.normal(0, 0.12, 2) * [width, height]
        (x, y), (x1, y1) = point.astype(int).tolist(), end.astype(int).tolist()
        grey, thick = int(np.random.choice([0, 60, 220, 255])), int(np.random.randint(1, 5))
        kind = np.random.randint(3)
        if kind == 0:
            cv2.arrowedLine(film, (x1, y1), (x, y), grey, thick, cv2.LINE_AA, tipLength=0.3)
        elif kind == 1:
            cv2.line(film, (x1, y1), (x, y), grey, thick, cv2.LINE_AA)
        else:
            cv2.circle(film, (x, y), max(3, abs(x1 - x)), grey, thick, cv2.LINE_AA)


def draw_edges(film: Film, boxes: Boxes) -> None:
    """Give everything outside a random rectangle, which keeps the middle of every label, one grey or a slope of greys."""
    height, width = film.shape
    kept = np.array([0.35 * width, 0.35 * height, 0.65 * width, 0.65 * height])
    if len(boxes):
        centre, quarter = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * 0.45
        low, high = (centre - quarter).min(axis=0), (centre + quarter).max(axis=0)
        kept = np.concatenate([np.minimum(kept[:2], low), np.maximum(kept[2:], high)])
    most = np.array([0, 0, width, height])
    edges = most + (kept - most) * np.random.beta(1, 3, 4) * (np.random.uniform(size=4) < 0.6)
    x0, y0, x1, y1 = np.rint(edges).astype(int).clip(0, [width, height] * 2).tolist()
    grey = np.random.choice([0, 0, 0, 128, 255]) + np.random.uniform(-20, 20)
    slope = np.linspace(0, np.random.uniform(-60, 60), width)
    around = np.clip(grey + slope[None], 0, 255).astype(np.uint8).repeat(height, axis=0)
    inside = film[y0:y1, x0:x1].copy()
    film[:] = around
    film[y0:y1, x0:x1] = inside
