"""Metal: total hips, hemiprostheses, plates, nails and screws."""

from __future__ import annotations

import numpy as np

from hipdet.phantom.femur import hip_transform
from hipdet.phantom.outline import Points, Shape, arc, band, curve, ellipse
from hipdet.phantom.patient import Patient, Pose

TOTAL_HIP, HEMI, SLIDING_SCREW, SCREWS, NAIL = "total hip", "hemiprosthesis", "sliding screw", "screws", "nail"
REPLACEMENTS = (TOTAL_HIP, HEMI)  # the femoral head is gone
KINDS = (TOTAL_HIP, HEMI, SLIDING_SCREW, SCREWS, NAIL)
METAL = 2.6  # optical depth


def implant(kind: str, patient: Patient, pose: Pose, side: int, rng: np.random.Generator) -> list[Shape]:
    """The metal of `kind` in the hip of `side`; the ball's centre is the femoral head's."""
    if kind in REPLACEMENTS:
        shapes = _stem(rng) + (_cup(rng) if kind == TOTAL_HIP else [_ball(0.49)])
    elif kind == SLIDING_SCREW:
        shapes = _sliding_screw(rng)
    elif kind == NAIL:
        shapes = _nail(rng)
    else:
        shapes = [_rod([(1.42, 0.75 + y), (-0.12, -0.22 + y)], 0.12) for y in (-0.16, 0.02, 0.22)]
    return [shape.moved(hip_transform(patient, pose, side)) for shape in shapes]


def gonad_shield(patient: Patient, rng: np.random.Generator) -> Shape:
    """Lead over the midline: low and heart-shaped for men, higher and broader for women; the hips stay in sight."""
    if patient.female < 0.5:
        outline = np.array(
            [(0, 0.45), (0.35, 0.3), (0.55, 0.7), (0.4, 1.6), (0, 2.0), (-0.4, 1.6), (-0.55, 0.7), (-0.35, 0.3)]
        )
    else:
        outline = np.array([(0.85, -1.4), (0.5, -0.1), (0.0, 0.1), (-0.5, -0.1), (-0.85, -1.4), (0, -1.6)])
    return Shape((curve(outline * rng.uniform(0.7, 1.0) + rng.normal(0, 0.06, 2)),), METAL, 0.04)


def _rod(line: Points | list[tuple[float, float]], width: float | list[float]) -> Shape:
    return Shape((band(line, width),), METAL, 0.04)


def _ball(radius: float) -> Shape:
    return Shape((ellipse((0, 0), (radius, radius)),), METAL, 0.05)


def _stem(rng: np.random.Generator) -> list[Shape]:
    """Ball, neck and a tapering stem down the marrow."""
    length = rng.uniform(2.2, 3.6)
    width = rng.uniform(0.28, 0.42)
    line = np.array([(0.45, 0.3), (0.66, 0.75), (0.82, 1.2), (0.88, 1.8), (0.88, length)])
    neck = np.array([(0.0, 0.0), (0.25, 0.22), (0.5, 0.45)])
    stem = _rod(line, [width * 0.9, width * 1.5, width * 1.25, width, width * 0.55])
    return [_ball(rng.uniform(0.27, 0.38)), _rod(neck, [0.22, 0.2, 0.3]), stem]


def _cup(rng: np.random.Generator) -> list[Shape]:
    """A metal-backed or cemented cup round the ball, opening downwards and outwards, perhaps with screws."""
    radius = rng.uniform(0.52, 0.62)
    opening = rng.uniform(35, 55)  # degrees of inclination
    shell = arc((0, 0), radius - 0.05, opening + 180 - 8, opening + 360 + 8)
    shapes = [_rod(shell, rng.uniform(0.06, 0.14))]
    if rng.random() < 0.6:  # the far wall of a metal shell
        shapes.append(Shape((arc((0, 0), radius, opening + 180, opening + 360),), METAL * rng.uniform(0.3, 1), 0.06))
    for angle in np.radians(rng.uniform(230, 300, rng.integers(0, 3))):
        way = np.array([np.cos(angle), np.sin(angle)])
        shapes.append(_rod(np.array([way * 0.5, way * rng.uniform(0.9, 1.2)]), 0.08))
    return shapes


def _sliding_screw(rng: np.random.Generator) -> list[Shape]:
    """Lag screw in the neck, plate along the lateral shaft, screws across it."""
    holes = rng.integers(3, 6)
    bottom = 1.1 + 0.42 * holes
    shapes = [_rod([(1.4, 1.1), (-0.1, -0.18)], 0.17), _rod([(1.36, 0.85), (1.27, 1.4), (1.26, bottom)], 0.13)]
    return shapes + [_rod([(1.28, y), (0.5, y)], 0.09) for y in np.linspace(1.6, bottom - 0.15, holes)]


def _nail(rng: np.random.Generator) -> list[Shape]:
    """Nail in the marrow with a blade through the neck and a locking screw."""
    bottom = rng.uniform(2.6, 4.5)
    nail = _rod([(1.02, -0.1), (0.95, 0.8), (0.9, 1.6), (0.89, bottom)], [0.28, 0.27, 0.22, 0.2])
    return [nail, _rod([(1.45, 1.02), (-0.15, -0.12)], 0.19), _rod([(1.25, bottom - 0.3), (0.5, bottom - 0.3)], 0.09)]
