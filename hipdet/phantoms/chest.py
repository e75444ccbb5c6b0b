"""Synthetic chest films: one heart, labelled by a square, and two lungs, labelled by boxes twice as high as wide.

They show that hipdet isn't limited to hips: several classes, one or two ROIs per class, other shapes and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.phantoms.depth import Depths
from hipdet.phantoms.exposure import develop
from hipdet.phantoms.plan import SOURCES, normal
from hipdet.phantoms.shapes import Points, Shape, affine, arc, band, clouds, curve, ellipse, optical_depth, placing

CLASSES = ("heart", "lung")
LOOK = SOURCES["oaih"]
SEED = 4  # part of every random seed; the sources have 1 to 3
MAX_SIDE = 512  # px, default long side of a film
# the patient's right lung, left in the picture; unit: the height of a lung, origin: midway between the lungs
LUNG = np.array([
    (-0.2, -0.5), (-0.34, -0.44), (-0.47, -0.22), (-0.55, 0.08), (-0.58, 0.4), (-0.57, 0.5), (-0.42, 0.4),
    (-0.24, 0.36), (-0.11, 0.4), (-0.1, 0.2), (-0.09, -0.05), (-0.1, -0.3),
])  # fmt: skip


@dataclass(frozen=True)
class ChestPlan:
    """Everything about a film except its pixels.

    Attributes:
        labels: Classes of the boxes.
        width: Width of the film in pixels.
        height: Height of the film in pixels.
        boxes: ``[3, 4]`` xyxy of the heart, the picture-left lung and the picture-right lung, in pixels.
        outlines: Outlines ``[N, 2]`` of heart and lungs in the same order, in pixels.
        transform: ``[2, 3]`` from units of a lung's height to pixels.
        name: Pseudonym of the patient.
        seed: Seed of the rendering.
    """

    labels: ClassVar[tuple[str, str, str]] = ("heart", "lung", "lung")
    width: int
    height: int
    boxes: Boxes
    outlines: list[Points]
    transform: Points
    name: str
    seed: tuple[int, ...]


def plan_chest(index: int, seed: int = 0, max_side: int | None = None) -> ChestPlan:
    """Plan film `index` (from 0); the same arguments give the same plan."""
    rng = np.random.default_rng([seed, SEED, index])
    long_side, aspect = max_side or MAX_SIDE, normal(rng, 1.0, 0.12, 0.75, 1.3)
    width, height = round(long_side * min(1, 1 / aspect)), round(long_side * min(1, aspect))
    unit = long_side * rng.uniform(0.45, 0.62)
    unit = min(unit, 0.78 * width, 0.94 * height)  # both lungs fit on the film
    room = np.array([width - 1.26 * unit, height - 1.06 * unit]) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * np.maximum(room, 0) * 0.8
    transform = placing(centre, scale=unit, angle=rng.normal(0, 0.02))
    lungs = [_lung(rng, side) for side in (1, -1)]
    # the heart lies to the picture's right, on the diaphragm
    radii = rng.uniform(0.19, 0.3) * np.array([1.0, rng.uniform(0.8, 0.98)])
    middle = np.array([rng.uniform(0.08, 0.16), 0.37 - radii[1] * rng.uniform(0.85, 1.1)])
    heart = ellipse(middle, radii, rng.uniform(0.2, 0.7))
    outlines = [affine(transform, outline) for outline in (heart, *lungs)]
    boxes = np.array([[*outline.min(axis=0), *outline.max(axis=0)] for outline in outlines])
    middle, half = (boxes[0, :2] + boxes[0, 2:]) / 2, (boxes[0, 2:] - boxes[0, :2]).max() / 2
    boxes[0] = [*(middle - half), *(middle + half)]  # the heart is labelled by a square
    boxes = np.clip(boxes, 0, [width, height, width, height])
    name = f"chest_patient_{index + 1:05d}"
    return ChestPlan(width, height, boxes, outlines, transform, name, (seed, SEED, index, 1))


def _lung(rng: np.random.Generator, side: int) -> Points:
    wide, high = rng.uniform(0.85, 1.1), rng.uniform(0.94, 1.0)
    points = LUNG * (wide * side, high) + rng.normal(0, 0.008, LUNG.shape)
    points[:, 0] += 0.02 * side
    return curve(points)


def render_chest(plan: ChestPlan) -> NDArray[np.uint8]:
    """The film ``[H, W]`` that `plan` describes."""
    rng = np.random.default_rng(plan.seed)
    size = (plan.height, plan.width)
    unit = float(np.linalg.norm(plan.transform[:, 0]))
    to_units = np.asarray(cv2.invertAffineTransform(plan.transform), dtype=np.float64)
    heart, *lungs = (affine(to_units, outline) for outline in plan.outlines)
    shapes = [*_trunk(rng), *(Shape((lung,), -1.0, 0.12) for lung in lungs)]
    soft = optical_depth([*shapes, Shape((heart,), rng.uniform(1.0, 1.4), 0.1)], size, plan.transform)
    texture = 0.6 * clouds(rng, size, max(0.05 * unit, 2)) + 0.4 * clouds(rng, size, max(0.015 * unit, 1.2))
    soft = np.maximum(soft * (1 + np.float32(rng.uniform(0.01, 0.04)) * texture), 0)
    bone = optical_depth(_bones(rng), size, plan.transform)
    return develop(Depths(np.asarray(soft, dtype=np.float32), bone, np.zeros(size, dtype=np.float32)), LOOK, size, rng)


def _trunk(rng: np.random.Generator) -> list[Shape]:
    """Trunk with shoulders, the mediastinum, and the abdomen below the diaphragm."""
    wide = rng.uniform(0.66, 0.78)
    right = [(0.12, -1.4), (0.14, -0.75), (0.5, -0.62), (0.95, -0.45), (1.0, 0.1)]
    right += [(wide, 0.1), (wide, 0.6), (wide, 2.0)]
    trunk = curve(np.array([*right, *[(-x, y) for x, y in right[::-1]]]))
    abdomen = curve([(-0.62, 0.6), (-0.35, 0.36), (0.0, 0.42), (0.35, 0.38), (0.62, 0.6), (0.6, 2.0), (-0.6, 2.0)])
    middle = band([(0.0, -1.0), (0.01, -0.4), (0.02, 0.0), (0.02, 0.5)], [0.14, 0.16, 0.2, 0.2])
    return [Shape((trunk,), 1.6, 0.2), Shape((abdomen,), 0.7, 0.15), Shape((middle,), 0.5, 0.06)]


def _bones(rng: np.random.Generator) -> list[Shape]:
    """Spine, ribs and clavicles."""
    density = rng.uniform(0.8, 1.2)
    spine = [ellipse((0, -1.1 + 0.12 * level), (0.055, 0.045)) for level in range(22)]
    shapes = [Shape((vertebra,), 0.2 * density, 0.02, 0.08, 0.012) for vertebra in spine]
    for level in range(9):
        top, reach = -0.62 + 0.12 * level, 0.32 + 0.035 * level
        for side in (1, -1):
            line = arc((0.05, 0.0), 1.0, -100, 10) * (reach * side, 0.3) + (0, top + 0.3)
            shapes.append(Shape((band(line, 0.028),), 0.18 * density, 0.02, 0.06 * density, 0.008))
    for side in (1, -1):
        line = np.array([(0.05, -0.44), (0.25, -0.47), (0.45, -0.54), (0.62, -0.6)]) * (side, 1)
        shapes.append(Shape((band(line, 0.05),), 0.3 * density, 0.02, 0.1 * density, 0.01))
    return shapes
