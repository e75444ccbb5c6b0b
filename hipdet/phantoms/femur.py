"""Outlines of the femur, healthy, arthritic or collapsed, from its head to the knee, and of the metal in it."""

from __future__ import annotations

import numpy as np

from hipdet.phantoms.patient import Patient, Pose, hip_centres
from hipdet.phantoms.shapes import Points, Shape, arc, band, curve, ellipse, placing

HEAD_RADIUS = 0.5  # by the package's unit of length

# relative to the head centre, x lateral
LATERAL = np.array([
    (0.2, -0.4), (0.42, -0.2), (0.6, 0.0), (0.78, 0.06), (0.92, -0.06), (1.06, -0.16), (1.24, -0.06),
    (1.42, 0.24), (1.5, 0.6), (1.4, 1.0), (1.27, 1.45), (1.22, 2.0), (1.2, 3.2), (1.2, 5.0), (1.22, 6.8),
])  # fmt: skip
CONDYLES = np.array([(1.42, 7.6), (1.5, 8.3), (1.2, 8.6), (0.85, 8.45), (0.5, 8.6), (0.12, 8.35), (0.2, 7.7)])
MEDIAL = np.array([(0.5, 6.8), (0.6, 5.0), (0.57, 3.2), (0.52, 2.0), (0.46, 1.6)])
LESSER_TROCHANTER = np.array([(0.4, 1.45), (0.36, 1.25), (0.4, 1.05)])
CALCAR = np.array([(0.3, 0.74), (0.12, 0.54), (-0.1, 0.42), (-0.3, 0.0), (-0.1, -0.3)])
TIBIA = np.array([
    (1.45, 8.8), (1.4, 9.2), (1.1, 10.0), (1.05, 13.0), (0.6, 13.0), (0.6, 10.0), (0.25, 9.2), (0.2, 8.8),
])  # fmt: skip


def hip_transform(patient: Patient, pose: Pose, side: int) -> Points:
    """Affine ``[2, 3]`` from femur coordinates (origin head centre, x lateral) to the body's."""
    angle = -pose.abduction[side]
    return placing(hip_centres(patient)[side], (-1, 1)[side], pose.magnification[side], angle)


def femur(patient: Patient, pose: Pose, side: int, headless: bool = False) -> list[Shape]:
    """Femur and tibia in the body's coordinates; the head is a ball of diameter 1 times the pose's magnification."""
    d = patient.density
    lesser = LESSER_TROCHANTER - (0.16 * pose.rotation[side], 0)
    outline = np.concatenate([LATERAL, CONDYLES, MEDIAL, lesser, CALCAR])
    reach = np.clip(outline[:, 0], 0, 1)  # 0 at the head, 1 at the trochanter: the head stays where it is
    outline[:, 0] *= 1 + (patient.neck * (1 - 0.08 * pose.rotation[side]) - 1) * reach
    outline[:, 1] -= patient.valgus * reach * np.clip(2 - outline[:, 1] / 2, 0, 1)
    crest = np.array([(1.0, 0.1), (0.85, 0.45), (0.66, 0.8), (0.5, 1.12)])
    beam = np.array([(-0.1, -0.3), (0.12, 0.05), (0.3, 0.4), (0.5, 0.8)])
    # cortex of the shaft: two long walls that are thickest at mid-shaft
    walls = [
        np.array([(1.4, 1.0), (1.2, 1.6), (1.13, 2.4), (1.12, 5.0), (1.2, 6.8)]),
        np.array([(0.34, 0.72), (0.5, 1.5), (0.62, 2.4), (0.68, 5.0), (0.6, 6.8)]),
    ]
    contours = (curve(outline),) if headless else (curve(outline), head(patient, side))
    shapes = [
        Shape(contours, 0.42 * d, 0.2, 0.2 * d, 0.035, joined=True),
        Shape((curve(TIBIA),), 0.4 * d, 0.2, 0.25 * d, 0.05),
        Shape((ellipse((0.85, 8.0), (0.42, 0.45)),), 0.15 * d, 0.2),
        Shape((band(crest, [0.05, 0.1, 0.1, 0.06]),), 0.12 * d, 0.04),
        Shape((band(beam, [0.3, 0.26, 0.2, 0.1]),), 0.16 * d, 0.1),
    ]
    shapes += [Shape((band(wall, [0.03, 0.12, 0.2, 0.2, 0.05]),), 0.5 * d, 0.06) for wall in walls]
    return [shape.moved(hip_transform(patient, pose, side)) for shape in shapes]


def head(patient: Patient, side: int) -> Points:
    """Outline ``[N, 2]`` of the femoral head in femur coordinates: a circle, or what collapse left of it."""
    outline = ellipse((0, 0), (HEAD_RADIUS, HEAD_RADIUS))
    upper = np.clip(-outline[:, 1] / HEAD_RADIUS, 0, 1)
    outline[:, 1] *= 1 - 0.4 * patient.collapse[side] * upper**2
    outline[:, 0] *= 1 + 0.06 * patient.collapse[side] * upper
    return outline


def disease(patient: Patient, pose: Pose, side: int) -> list[Shape]:
    """Osteophytes where head and neck meet, sclerosis and a cyst under the joint's roof, in the body's coordinates."""
    d, oa, collapse = patient.density, patient.osteoarthritis[side], patient.collapse[side]
    if oa < 0.25:
        return []
    shapes = []
    for angle in (0.2, 2.6):
        spur = ellipse((0.5 * np.cos(angle), 0.5 * np.sin(angle)), (0.05 + 0.12 * oa, 0.08), angle + 1.2)
        shapes.append(Shape((spur,), 0.15 * d, 0.06, 0.1 * d, 0.03))
    cap = ellipse((0.08, -0.36 * (1 - 0.3 * collapse)), (0.32, 0.1 + 0.08 * oa))
    shapes.append(Shape((cap,), 0.3 * oa * d, 0.1))
    shapes.append(Shape((ellipse((0.12, -0.25), (0.07, 0.06)),), -0.2 * oa * d, 0.03))
    return [shape.moved(hip_transform(patient, pose, side)) for shape in shapes]


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
        outline = [(0, 0.45), (0.35, 0.3), (0.55, 0.7), (0.4, 1.6), (0, 2.0), (-0.4, 1.6), (-0.55, 0.7), (-0.35, 0.3)]
    else:
        outline = [(0.85, -1.4), (0.5, -0.1), (0.0, 0.1), (-0.5, -0.1), (-0.85, -1.4), (0, -1.6)]
    return Shape((curve(np.array(outline) * rng.uniform(0.7, 1.0) + rng.normal(0, 0.06, 2)),), METAL, 0.04)


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
