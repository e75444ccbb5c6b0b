"""Odd films of a kind made after the training recipe was frozen: photographed with a phone on a light box.

Arguments and results are those of :mod:`odd.geometry`.  Nothing here is used in training.  A pinhole camera looks
at the film from a slant; the light box around it is brighter than the film, and its light falls off from a bright spot.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hipdet.core.boxes import Boxes
from odd.geometry import WHITE, Grey, Made

Floats = NDArray[np.float64]

BARE = 1.1  # light of the box where no film is, in parts of what the camera can record
CLEAR = 0.9  # of it gets through the clearest film


def light_box(film: Grey, boxes: Boxes, rng: np.random.Generator) -> Made:
    """A photograph of the film on a light box: slanted, unevenly lit, a little blurred.

    Half of the films have moiré, and half, drawn apart, a lamp's reflection.

    The camera is 1.4 to 2.2 long sides away and slants by 6 to 16 degrees in any direction, with up to 5 degrees of roll;
    .04 to .13 of the long side of light box show on each side.
    """
    height, width = film.shape
    slant, direction, roll = rng.uniform(6, 16), rng.uniform(0, 360), rng.uniform(-5, 5)
    view = camera(width, height, slant, direction, roll, rng.uniform(1.4, 2.2))
    matrix, size = fitted(view, width, height, rng.uniform(0.04, 0.13, 4))
    seen, share = photographed(film, matrix, size)
    veil = rng.uniform(0.02, 0.08)
    through = share * (veil + (CLEAR - veil) * seen / WHITE) + (1 - share) * BARE
    photo = through * glow(size, rng)
    if rng.integers(2):
        photo *= moire(size, rng)
    if rng.integers(2):
        photo += (1 - np.minimum(photo, 1)) * reflection(size, rng)
    greys = np.rint(np.clip(photo, 0, 1) * WHITE).astype(np.uint8)
    blur = rng.uniform(0.0015, 0.003) * max(size)
    return np.asarray(Image.fromarray(greys).filter(ImageFilter.GaussianBlur(blur))), mapped(boxes, matrix)


def camera(width: int, height: int, slant: float, direction: float, roll: float, away: float) -> Floats:
    """The homography of a film seen by a pinhole camera that looks at its middle, which comes to lie at 0, 0 at scale 1.

    Args:
        width: Of the film in px.
        height: Of the film in px.
        slant: Degrees between the line of sight and the upright on the film.
        direction: Degrees, on the film, of the axis about which the camera slants.
        roll: Degrees by which the camera is rotated about its line of sight.
        away: Distance of the camera in long sides of the film.
    """
    across, along, around = (math.radians(each) for each in (slant, direction, roll))
    distance = away * max(width, height)
    axis = turn(along)
    tilt = np.diag([1.0, math.cos(across), 1.0])
    tilt[1, 2], tilt[2, 1] = -math.sin(across), math.sin(across)
    rigid = turn(around) @ axis @ tilt @ axis.T
    pose = np.column_stack([rigid[:, 0], rigid[:, 1], [0, 0, distance]])
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    homography: Floats = np.diag([distance, distance, 1]) @ pose @ middle
    return homography / homography[2, 2]


def turn(angle: float) -> Floats:
    """A rotation by `angle` radians in the plane."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def through_matrix(points: Floats, matrix: Floats) -> Floats:
    """Map `points` ``[N, 2]`` with a homography."""
    ends = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    mapped_points: Floats = ends[:, :2] / ends[:, 2:]
    return mapped_points


def corners_of(box: Floats) -> Floats:
    """The corners ``[4, 2]`` of a box, one after another."""
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def fitted(matrix: Floats, width: int, height: int, margins: Floats) -> tuple[Floats, tuple[int, int]]:
    """Shift `matrix` so that the whole film is on the photograph; returns it with the photograph's width and height.

    `margins` are the shares of the long side that are left beside the film: left, top, right, bottom.
    """
    ends = through_matrix(corners_of(np.array([0, 0, width, height])), matrix)
    beside = margins * max(width, height)
    low, high = ends.min(axis=0) - beside[:2], ends.max(axis=0) + beside[2:]
    shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    across, down = np.ceil(high - low).astype(int).tolist()
    return shift @ matrix, (across, down)


def photographed(film: Grey, matrix: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """The film as it lies on the photograph, and the share of each pixel that it covers; both ``[H, W]``."""
    edged = np.pad(film, 2, mode="edge")
    cover = np.pad(np.full_like(film, WHITE), 2)
    back = np.array([[1, 0, 2], [0, 1, 2], [0, 0, 1]]) @ np.linalg.inv(matrix)
    numbers = (back / back[2, 2]).ravel()[:8].tolist()
    seen, share = (
        np.asarray(
            Image.fromarray(each).transform(size, Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BILINEAR),
            float,
        )
        for each in (edged, cover)
    )
    return seen, share / WHITE


def mapped(boxes: Boxes, matrix: Floats) -> Boxes:
    """Upright squares about the mapped centres of `boxes`, with the mean length of their four mapped sides."""
    squares = []
    for box in boxes:
        ends = through_matrix(corners_of(box), matrix)
        half = float(np.linalg.norm(ends - np.roll(ends, 1, axis=0), axis=1).mean()) / 2
        x, y = through_matrix(((box[:2] + box[2:]) / 2)[None], matrix)[0]
        squares.append([x - half, y - half, x + half, y + half])
    return np.array(squares, float).reshape(-1, 4)


def grid(size: tuple[int, int], centre: Floats) -> tuple[Floats, Floats]:
    """Distances of all pixels in x and y from `centre` (shares of width and height), in long sides."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    return (x - centre[0] * width) / max(size), (y - centre[1] * height) / max(size)


def glow(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Light of the box: 1 at a spot near the middle, .45 to .7 far from it."""
    x, y = grid(size, rng.uniform(0.25, 0.75, 2))
    low, reach = rng.uniform(0.45, 0.7), rng.uniform(0.3, 0.5)
    light: Floats = low + (1 - low) * np.exp(-(x**2 + y**2) / (2 * reach**2))
    return light


def moire(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Bent stripes, darker by up to .06, with a period of .012 to .03 of the long side."""
    x, y = grid(size, rng.uniform(-1, 2, 2))
    angle, period, bend = rng.uniform(0, math.pi), rng.uniform(0.012, 0.03), rng.uniform(-0.3, 0.3)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    wave = np.sin(2 * math.pi * (along + bend * across**2) / period)
    stripes: Floats = 1 - rng.uniform(0.02, 0.06) * (1 + wave) / 2
    return stripes


def reflection(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A lamp's long soft reflection, anywhere: .2 to .4 of the way to white."""
    x, y = grid(size, rng.uniform(0.1, 0.9, 2))
    angle, length, breadth = rng.uniform(0, math.pi), rng.uniform(0.08, 0.2), rng.uniform(0.02, 0.05)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    lamp: Floats = rng.uniform(0.2, 0.4) * np.exp(-((along / length) ** 4) - (across / breadth) ** 4)
    return lamp
