"""Outlines of the pelvic ring, the sacrum and the spine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hipdet.phantoms.patient import Patient, Pose
from hipdet.phantoms.shapes import Points, Shape, arc, band, curve, ellipse

AVERAGE_HALF_DISTANCE = 1.95  # for which the landmarks below are written down

ILIUM = np.array([
    # crest, from the sacroiliac joint to the anterior superior spine
    (0.82, -2.5), (1.2, -2.98), (1.7, -3.26), (2.4, -3.2), (2.98, -2.86), (3.36, -2.4), (3.44, -2.02),
    # down to the lateral lip of the acetabulum
    (3.24, -1.62), (2.98, -1.3), (2.8, -1.05), (2.66, -0.8), (2.55, -0.5),
    # behind the head and up the pelvic brim
    (2.3, -0.12), (1.95, 0.12), (1.58, 0.22), (1.47, -0.1), (1.57, -0.55), (1.66, -0.97), (1.5, -1.36),
    (1.2, -1.62), (1.0, -1.74), (0.86, -2.1),
])  # fmt: skip
# the thick beam that carries the weight from the sacroiliac joint to the acetabulum
COLUMN = np.array([
    (1.05, -1.85), (1.2, -2.55), (1.65, -2.2), (2.15, -1.55), (2.6, -1.0), (2.54, -0.52), (2.0, -0.45),
    (1.55, -0.35), (1.66, -0.97), (1.48, -1.4),
])  # fmt: skip
JOINT = np.array([(1.36, -2.75), (1.2, -2.4), (1.12, -2.05), (1.02, -1.78)])  # sacroiliac
BRIM = np.array([(1.06, -1.7), (1.45, -1.42), (1.64, -1.0), (1.56, -0.5), (1.42, -0.08), (1.15, 0.2), (0.75, 0.4)])
# ischium and pubis, from behind the head down and round to the symphysis
RING = np.array([
    (2.36, -0.36), (2.3, 0.0), (2.05, 0.34), (1.88, 0.56), (1.83, 0.85), (1.72, 1.15), (1.48, 1.38),
    (1.16, 1.36), (0.8, 1.18), (0.42, 1.04), (0.12, 0.98), (0.04, 0.78), (0.05, 0.48), (0.22, 0.4),
    (0.55, 0.42), (0.95, 0.27), (1.3, 0.06), (1.48, -0.22), (1.58, -0.6), (1.9, -0.6),
])  # fmt: skip
FORAMEN = np.array([
    (1.42, 0.48), (1.12, 0.46), (0.82, 0.58), (0.58, 0.76), (0.66, 0.92), (0.95, 1.04), (1.25, 1.08),
    (1.44, 0.9), (1.5, 0.66),
])  # fmt: skip
SACRUM = np.array([
    (0.5, -2.62), (0.95, -2.74), (1.3, -2.5), (1.18, -1.95), (0.95, -1.6), (0.62, -1.2), (0.4, -0.85),
    (0.18, -0.7),
])  # fmt: skip


def half_pelvis(patient: Patient, pose: Pose, side: int) -> list[Shape]:
    """Iliac wing, weight-bearing column, brim and obturator ring of `side` (0 picture-left, 1 picture-right)."""
    mirror = (-1, 1)[side]
    d = patient.density

    def wing(landmarks: Points) -> Points:
        points = landmarks.copy()
        high = np.clip(-points[:, 1] - 0.7, 0, None)  # above the joint the wing flares and tilts on its own
        points[:, 1] -= high * (patient.height - 1)
        flare = patient.flare + mirror * pose.turn
        points[:, 0] = 1.6 + (points[:, 0] - 1.6) * (1 + (flare - 1) * np.clip(high, 0, 1))
        return _placed(points, patient, mirror)

    def ring(landmarks: Points) -> Points:
        points = landmarks.copy()
        low = np.clip(points[:, 1] - 0.3, 0, None)
        points[:, 1] += low * (pose.tilt * (1.25 - 0.35 * patient.female) - 1)
        return _placed(points, patient, mirror)

    return [
        Shape((curve(wing(ILIUM)),), 0.34 * d, 0.12, 0.2 * d, 0.035),
        Shape((curve(wing(COLUMN)),), 0.3 * d, 0.3),
        Shape((band(_dense(wing(BRIM)), 0.07),), 0.28 * d, 0.03),
        Shape((band(wing(JOINT), [0.04, 0.09, 0.08, 0.04]),), -0.22 * d, 0.03),
        Shape((curve(ring(RING)), curve(ring(FORAMEN))), 0.42 * d, 0.15, 0.22 * d, 0.035),
    ]


def socket(patient: Patient, side: int) -> list[Shape]:
    """Sclerotic roof, inner wall with the teardrop, and rim of the acetabulum."""
    mirror = (-1, 1)[side]
    d, oa = patient.density, patient.osteoarthritis[side]
    x = patient.half_distance
    roof = arc((x, 0), 0.58, -150, -25) if mirror > 0 else arc((-x, 0), 0.58, -30, -155)
    wall = arc((x, 0), 0.6, 130, 215) if mirror > 0 else arc((-x, 0), 0.6, 50, -35)
    lip = np.stack([np.linspace(0.52, 0.15, 8), np.linspace(-0.3, 0.52, 8)], axis=1) * (mirror, 1) + (mirror * x, 0)
    taper = np.sin(np.linspace(0.25, np.pi - 0.1, 24)) ** 0.6
    return [
        Shape((band(roof, (0.09 + 0.12 * oa) * taper),), (0.38 + 0.3 * oa) * d, 0.03),
        Shape((band(wall, 0.05 * taper + 0.01),), 0.25 * d, 0.02),
        Shape((band(lip, 0.035),), 0.12 * d, 0.015),
    ]


def sacrum(patient: Patient) -> list[Shape]:
    """Sacrum with its paired foramina, and the coccyx."""
    d = patient.density
    outline = np.concatenate([SACRUM, SACRUM[::-1] * (-1, 1)])
    shapes = [Shape((curve(outline),), 0.45 * d, 0.25, 0.1 * d, 0.04)]
    for level in range(4):
        y, x = -2.35 + 0.36 * level, 0.48 - 0.05 * level
        for sign in (-1, 1):
            shapes.append(Shape((ellipse((sign * x, y), (0.13, 0.085), sign * 0.4),), -0.13 * d, 0.06))
            shapes.append(Shape((band(arc((sign * x, y), 0.16, -160, -20), 0.035),), 0.16 * d, 0.02))
    for level in range(3):
        shapes.append(Shape((ellipse((0, -0.62 + 0.15 * level), (0.13 - 0.03 * level, 0.07)),), 0.15 * d, 0.05, 0.05))
    return shapes


def spine(patient: Patient, levels: int = 10) -> Iterator[Shape]:
    """Vertebrae from L5 upwards, with pedicles, spinous and transverse processes, and the lowest ribs."""
    d = patient.density
    for level in range(levels):
        y = -2.85 - 0.82 * level
        x = patient.scoliosis * level**1.5
        w = 0.56 - 0.018 * level
        body = [(-w, -0.3), (-w * 0.92, 0), (-w, 0.3), (0, 0.27), (w, 0.3), (w * 0.92, 0), (w, -0.3), (0, -0.27)]
        yield Shape((curve(np.add(body, (x, y))),), 0.4 * d, 0.2, 0.12 * d, 0.04)
        yield Shape((ellipse((x, y + 0.28), (0.09, 0.24)),), 0.12 * d, 0.06, 0.1 * d, 0.03)
        for sign in (-1, 1):
            yield Shape((ellipse((x + sign * w * 0.62, y - 0.06), (0.1, 0.15)),), 0.04 * d, 0.05, 0.14 * d, 0.03)
            yield Shape((ellipse((x + sign * w * 0.55, y + 0.3), (0.13, 0.2), sign * 0.3),), 0.12 * d, 0.08)
            if level < 5:
                process = np.array([(w * 0.8, -0.1), (w + 0.25, -0.14), (w + 0.55, -0.2)]) * (sign, 1) + (x, y)
                yield Shape((band(process, [0.2, 0.16, 0.1]),), 0.13 * d, 0.05, 0.06 * d)
            else:
                t = np.linspace(0, 1, 12)
                rib = np.stack([w + 3.2 * t ** (0.6 + 0.04 * level), 1.5 * t**1.6 - 0.1], axis=1) * (sign, 1) + (x, y)
                yield Shape((band(rib, 0.24),), 0.12 * d, 0.06, 0.1 * d, 0.03)


def _placed(points: Points, patient: Patient, mirror: int) -> Points:
    return points * (mirror * patient.half_distance / AVERAGE_HALF_DISTANCE, 1)


def _dense(points: Points) -> Points:
    """More points on an open line, by way of the closed curve without its last leg."""
    return curve(points)[: -6 * 2 + 1]
