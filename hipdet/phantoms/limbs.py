"""Legs that ordinary pelvis films lack: of children, broken, dislocated, turned out; and the soft tissue about them.

Femur coordinates: origin head centre, x lateral, y down the shaft.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hipdet.phantoms import skeleton
from hipdet.phantoms.plan import Break, Patient, Pose
from hipdet.phantoms.shapes import Points, Shape, affine, band, curve, ellipse, placing

NECK = np.array([0.64, 0.77])  # direction of the neck, from the head
KNEE = np.array([0.85, 8.6])
SHANK = np.array([(0.82, 9.0), (0.8, 10.0), (0.82, 12.5), (0.84, 15.0), (0.84, 15.7)])
PLATE_WIDTH = 1.3  # an infant's femur beside its head, whose growth plate is as wide as the head, against an adult's
FIBULA = np.array([(1.36, 9.5), (1.4, 11.0), (1.36, 14.0), (1.28, 15.9)])


def leg(patient: Patient, pose: Pose, side: int, headless: bool = False) -> list[Shape]:
    """Femur, lower leg and foot of `side`, as if the head lay in the socket, in the body's coordinates."""
    joint = patient.joints[side]
    grown = joint.growth >= 1
    shapes = skeleton.femur_parts(patient, pose, side, headless) if grown else _growing_femur(patient, pose, side)
    if pose.flexion[side]:
        shapes = [_changed(shape, lambda points: _flexed(points, pose.flexion[side])) for shape in shapes]
    shapes += [shape.moved(knee_bend(pose, side)) for shape in _lower_leg(patient.density, joint.growth)]
    if joint.fracture:
        shapes = _broken(shapes, joint.fracture)
    return [shape.moved(skeleton.hip_transform(patient, pose, side)) for shape in shapes]


def knee_bend(pose: Pose, side: int) -> Points:
    """Affine ``[2, 3]`` of the lower leg in femur coordinates."""
    turned = placing((0, 0), angle=pose.knee[side])
    turned[:, 2] = KNEE - affine(turned, KNEE)
    return turned


def _changed(shape: Shape, change: Callable[[Points], Points]) -> Shape:
    return replace(shape, contours=tuple(change(contour) for contour in shape.contours))


def _flexed(points: Points, angle: float) -> Points:
    """Turn what is near the head back by `angle`: the neck of a flexed thigh appears in line with the shaft."""
    distance = np.linalg.norm(points, axis=1)
    turn = angle * np.clip((2.4 - distance) / 1.9, 0, 1)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], axis=1)


def cut(points: Points, normal: Points, at: float) -> Points:
    """The part of an outline ``[N, 2]`` beyond the line ``p @ normal == at``: the other points move onto this line."""
    return points + np.clip(at - points @ normal, 0, None)[:, None] * normal


def _broken(shapes: list[Shape], fracture: Break) -> list[Shape]:
    """`shapes` in two parts; the one farther from the head is displaced."""
    normal = np.array(fracture.normal) / np.linalg.norm(fracture.normal)
    pivot = normal * fracture.at
    away = placing((0, 0), angle=fracture.tilt)
    away[:, 2] = pivot + fracture.slip - affine(away, pivot)
    parts = []
    for shape in shapes:
        ways = np.concatenate(shape.contours) @ normal
        if ways.min() < fracture.at:
            parts.append(_changed(shape, lambda points: cut(points, -normal, -fracture.at)))
        if ways.max() > fracture.at + fracture.gap:
            far = _changed(shape, lambda points: cut(points, normal, fracture.at + fracture.gap))
            parts.append(far.moved(away))
    return parts


def _growing_femur(patient: Patient, pose: Pose, side: int) -> list[Shape]:
    """The femur of a child: shaft, nucleus of the head, trochanter and condyles, with cartilage between them."""
    d, g = patient.density, patient.joints[side].growth
    plate = 0.2 + 0.06 * g  # from the centre of the head to the end of the neck
    outline = skeleton.femur_outline(patient, pose, side)
    lateral = (outline[:, 0] > 0.7) & (outline[:, 1] < 0.6)
    outline[lateral, 1] += (1 - g) * 0.45 * (0.6 - outline[lateral, 1])  # the trochanter is cartilage at first
    thick = patient.half_distance / skeleton.AVERAGE_HALF_DISTANCE  # the head grows into its socket
    shaft = (outline[:, 1] > 1) & (outline[:, 1] < 7)
    outline[shaft, 0] = 0.9 + (outline[shaft, 0] - 0.9) * (0.74 + 0.2 * g) * thick
    middle = (outline[:, 1] > 2.5) & shaft
    edges = outline[middle, 0].max() - 0.08, outline[middle, 0].min() + 0.08
    bone = cut(cut(curve(outline), NECK, plate), np.array([0.0, -1.0]), -7.65)
    walls = [np.array([(x, 1.2), (x, 2.4), (x, 5.0), (x, 6.8)]) for x in edges]
    across = np.array([NECK[1], -NECK[0]])
    end = np.array([NECK * (plate + 0.03) + across * t for t in (-0.33, 0.0, 0.4)])
    shapes = [
        Shape((bone,), 0.45 * d, 0.2, 0.22 * d, 0.035),
        _nucleus(patient, side, plate),
        Shape((band(end, 0.06),), 0.25 * d, 0.02),
        Shape((band(np.array([(0.15, 7.6), (0.85, 7.62), (1.5, 7.6)]), 0.07),), 0.2 * d, 0.02),
        Shape((ellipse((0.84, 8.1), (0.3 + 0.34 * g, 0.2 + 0.12 * g)),), 0.4 * d, 0.15, 0.15 * d),
    ]
    if g > 0.3:  # the nucleus of the greater trochanter
        shapes.append(Shape((ellipse((1.2, 0.12), (0.08 + 0.14 * g, 0.05 + 0.1 * g), 0.6),), 0.25 * d, 0.08, 0.1 * d))
    shapes += [Shape((band(wall, [0.08, 0.16, 0.17, 0.05]),), 0.5 * d, 0.06) for wall in walls]
    wide = placing((0, 0), scale=PLATE_WIDTH + (1 - PLATE_WIDTH) * g)
    return [shape.moved(wide) for shape in shapes]


def _nucleus(patient: Patient, side: int, plate: float) -> Shape:
    """The bone in the head, from a small ball to a cap on the growth plate; the head around it is as wide as the plate."""
    d, g = patient.density, patient.joints[side].growth
    size = 0.24 + 0.74 * g
    outline = ellipse(-0.04 * NECK * (1 - g), (0.5 * size, 0.47 * size), -0.6)
    gap = 0.05 + 0.05 * (1 - g)
    outline = cut(outline, -NECK, gap - plate)
    return Shape((outline,), 0.36 * d, 0.12, 0.18 * d, 0.03)


def _lower_leg(density: float, growth: float) -> list[Shape]:
    """Tibia, fibula and foot in femur coordinates, with the knee straight."""
    d, width = density, np.array([1.2, 0.62, 0.55, 0.55, 0.75])
    shapes = [
        Shape((_strip(SHANK, width * (0.85 + 0.15 * growth)),), 0.4 * d, 0.2, 0.25 * d, 0.05),
        Shape((_strip(FIBULA, np.array([0.28, 0.18, 0.18, 0.3])),), 0.25 * d, 0.1, 0.12 * d, 0.03),
        Shape((ellipse((0.84, 16.15), (0.42, 0.28)),), 0.4 * d, 0.2),
        *(
            Shape((_strip(np.array([(x, 16.5), (x * 1.1 - 0.08, 17.8)]), 0.16),), 0.25 * d, 0.06)
            for x in (0.6, 0.85, 1.1)
        ),
    ]
    if growth < 1:
        shapes.append(Shape((ellipse((0.82, 8.78), (0.3 + 0.32 * growth, 0.1 + 0.07 * growth)),), 0.35 * d, 0.1))
    return shapes


def _strip(line: Points, width: Points | float) -> Points:
    """The outline of a strip along a smooth open line."""
    dense = curve(np.array([line[0], *line, line[-1]]))[6 : 6 * len(line) + 1]  # without the way back
    places = np.linspace(0, len(line) - 1, len(dense))
    return band(dense, np.interp(places, np.arange(len(line)), width * np.ones(len(line))))


def cartilage(patient: Patient, side: int) -> list[Shape]:
    """Gaps in a growing pelvis, of depth 0 to 1: the Y of the socket, the arch below, and half the symphysis."""
    g, mirror = patient.joints[side].growth, (-1, 1)[side]
    if g >= 1:
        return []
    width = 0.05 + 0.16 * (1 - g)
    lines = [
        [(1.32, -0.2), (1.6, -0.2), (2.0, -0.28), (2.3, -0.32)],  # between ilium and the bones below
        [(1.62, -0.2), (1.66, 0.1), (1.62, 0.55)],  # between ischium and pubis
        [(0.0, 0.3), (0.0, 0.7), (0.0, 1.15)],
    ]
    if g < 0.55:
        lines.append([(0.92, 0.9), (0.98, 1.5)])
    widths = [width, 0.8 * width, 0.1 + 0.3 * (1 - g), 0.8 * width]
    return [
        Shape((band(skeleton.placed(np.array(line), patient, mirror), each),), 0.9, 0.03)
        for line, each in zip(lines, widths)
    ]


def silhouette(patient: Patient, pose: Pose, crotch: float, rng: np.random.Generator) -> list[Shape]:
    """Trunk and legs, in whatever direction they point, and an abdomen that makes the upper part of the film brighter."""
    g, fat = patient.girth, patient.fat
    waist = g * rng.uniform(0.8, 1.0)
    right = [(0.4 * g, crotch + 0.1), (0.82 * g, 2.0), (0.97 * g, 0.9), (g, -0.5), (waist, -3), (waist * 0.97, -8)]
    right += [(waist * 1.05, -20)]
    trunk = curve(np.array([(0, crotch), *right, *((-x, y) for x, y in right[::-1])]))
    outlines = (trunk, *(part for side in (0, 1) for part in _flesh(patient, pose, side)))
    abdomen = ellipse((rng.normal(0, 0.2), rng.uniform(-2.5, -0.2) - 4.5), (waist * 0.97, 4.5))
    return [
        Shape(outlines, fat, 1.3, joined=True),
        Shape(outlines, 0.3 * fat, 0.25, joined=True),
        Shape((abdomen,), fat * rng.uniform(0.1, 0.6), rng.uniform(0.7, 2.0)),
    ]


def _flesh(patient: Patient, pose: Pose, side: int) -> tuple[Points, Points]:
    """Outlines of thigh, and of lower leg with foot."""
    thick = patient.girth / 4
    thigh = _strip(
        np.array([(0.3, -0.7), (0.55, 1.0), (0.75, 3.5), (0.85, 6.5), (0.85, 9.2)]),
        np.array([2.4, 3.7, 3.5, 2.6, 2.0]) * thick,
    )
    shank = _strip(
        np.array([(0.85, 8.2), (0.88, 9.3), (0.9, 11.0), (0.86, 14.5), (0.84, 16.0), (0.86, 17.8), (0.9, 18.4)]),
        np.array([1.75, 1.75, 1.9, 1.15, 1.2, 1.3, 0.7]) * thick,
    )
    placed = skeleton.hip_transform(patient, pose, side)
    placed[:, 2] += patient.joints[side].shift
    return affine(placed, thigh), affine(placed, affine(knee_bend(pose, side), shank))
