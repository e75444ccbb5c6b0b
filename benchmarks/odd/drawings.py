"""Odd films on which something is drawn while their boxes stay: a prosthesis, lines of text, letters, arrows, a ruler.

Arguments and results are those of :mod:`odd.geometry`.  Pillow draws, with its own TrueType font.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from hipdet.core.boxes import Boxes
from odd.geometry import WHITE, Grey, Made

HEAD = 1 / 1.8  # diameter of a head / side of its label
TEXTS = (
    "PELVIS AP", "Name: Doe, J.", "DOB 04.07.1951", "75 kV  20 mAs", "SUPINE", "Acq. 12:04:31", "W 4096 / L 2048",
    "Figure 2. Plain radiograph", "Follow-up at 24 months", "Department of Radiology", "S: 200  L: 2.1", "No 00481516",
)  # fmt: skip


def font(size: float) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's font with letters of `size` px."""
    return ImageFont.load_default(max(6.0, size))


def centres_of(boxes: Boxes) -> NDArray[np.float64]:
    """Centres ``[N, 2]``."""
    middle: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return middle


def implant(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """A white prosthesis over one of the hips: cup, head, neck and stem."""
    at = int(rng.integers(len(boxes)))
    centre, head = centres_of(boxes)[at], float(boxes[at, 2] - boxes[at, 0]) * HEAD
    out = -1 if centre[0] < film.shape[1] / 2 else 1  # towards the femoral shaft
    mask = Image.new("L", film.shape[::-1])
    draw = ImageDraw.Draw(mask)

    def points(*shifts: tuple[float, float]) -> list[tuple[float, float]]:
        """Points by their distances outwards and downwards from the centre of the head, in head diameters."""
        return [(centre[0] + out * across * head, centre[1] + down * head) for across, down in shifts]

    def ring(radius: float) -> list[float]:
        return [centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius]

    start = 210 if out < 0 else 150  # of the cup, clockwise from the right: above the head and towards the midline
    draw.arc(ring(0.66 * head), start, start + 180, fill=WHITE, width=max(1, round(0.14 * head)))
    draw.line(points((0.1, 0.1), (0.75, 0.75)), fill=WHITE, width=max(1, round(0.26 * head)))
    draw.polygon(
        points((0.4, 0.85), (0.75, 0.5), (1.15, 0.6), (1.2, 1.3), (1.02, 3.4), (0.86, 3.4), (0.7, 1.5)), fill=WHITE
    )
    draw.ellipse(ring(0.44 * head), fill=WHITE)
    share = np.asarray(mask.filter(ImageFilter.GaussianBlur(0.01 * head + 0.5)), np.float32) / WHITE
    metal = rng.uniform(235, 255)
    return np.rint(film + (np.maximum(film, metal) - film) * share).astype(np.uint8), boxes


def captions(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Lines of text anywhere on the film, and a bar of text at its top or bottom, whichever is farther from the hips."""
    picture = Image.fromarray(np.ascontiguousarray(film))
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    for _ in range(int(rng.integers(5, 9))):
        place = rng.uniform(0, 0.7) * width, rng.uniform(0, 0.96) * height
        size, grey = rng.uniform(0.025, 0.05) * max(width, height), int(rng.integers(190, 256))
        outline = int(rng.integers(2)) * max(
            1, round(0.08 * size)
        )  # of every other line, so that it shows on bone, too
        draw.text(place, str(rng.choice(TEXTS)), fill=grey, font=font(size), stroke_width=outline, stroke_fill=0)
    tall = rng.uniform(0.05, 0.08) * height
    top = 0.0 if boxes[:, 1].min() > height - boxes[:, 3].max() else height - tall
    back = WHITE if rng.integers(2) else 0
    draw.rectangle([0, top, width, top + tall], fill=back)
    line = "   ".join(rng.choice(TEXTS, 3, replace=False).tolist())
    draw.text((0.02 * width, top + 0.2 * tall), line, fill=WHITE - back, font=font(0.5 * tall))
    return np.asarray(picture), boxes


def letters(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """Large letters of the sides, arrows that point at the hips or beside them, and a ruler along one edge."""
    picture = Image.fromarray(np.ascontiguousarray(film))
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    for letter, across in (("R", rng.uniform(0.02, 0.15)), ("L", rng.uniform(0.8, 0.9))):  # the patient's sides
        size = rng.uniform(0.08, 0.14) * max(width, height)
        place = across * width, rng.uniform(0.03, 0.75) * height
        draw.text(place, letter, fill=int(rng.integers(215, 256)), font=font(size))
    for _ in range(int(rng.integers(2, 5))):
        at = int(rng.integers(len(boxes)))
        tip = centres_of(boxes)[at] + rng.uniform(-0.5, 0.5, 2) * (boxes[at, 2:] - boxes[at, :2])
        _arrow(draw, tip, rng.uniform(0, 2 * math.pi), 0.1 * max(width, height))
    _ruler(draw, width, height, right=bool(rng.integers(2)))
    return np.asarray(picture), boxes


def _arrow(draw: ImageDraw.ImageDraw, tip: NDArray[np.float64], angle: float, length: float) -> None:
    """A white arrow that ends at `tip`."""
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    neck = tip - 0.35 * length * along
    draw.line([*neck, *(tip - length * along)], fill=WHITE, width=max(1, round(0.1 * length)))
    wings = [tip, neck + 0.18 * length * across, neck - 0.18 * length * across]
    draw.polygon([(float(x), float(y)) for x, y in wings], fill=WHITE)


def _ruler(draw: ImageDraw.ImageDraw, width: int, height: int, right: bool) -> None:
    """A white ruler from .1 to .9 of the height, with a number at every fifth mark."""
    step, edge, inwards = 0.02 * height, (0.98 if right else 0.02) * width, -1 if right else 1
    thick = max(1, round(0.002 * max(width, height)))
    draw.line([edge, 0.1 * height, edge, 0.9 * height], fill=WHITE, width=thick)
    for mark in range(41):
        y, long = 0.1 * height + mark * step, 0.03 if mark % 5 == 0 else 0.015
        end = edge + inwards * long * width
        draw.line([edge, y, end, y], fill=WHITE, width=thick)
        if mark % 5 == 0:
            draw.text((end, y), f" {mark} ", fill=WHITE, font=font(step), anchor="rm" if right else "lm")
