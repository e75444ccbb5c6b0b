"""Outlines of pelvis, sacrum, spine and femora, healthy or diseased, and of implants."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hipdet.phantoms.plan import (
    CEMENTED,
    CUP,
    HEMI,
    LONG_NAIL,
    NAIL,
    PLATE,
    RESURFACING,
    SCREWS,
    SLIDING_SCREW,
    TOTAL_HIP,
    Patient,
    Pose,
    hip_centres,
)
from hipdet.phantoms.shapes import Points, Shape, arc, band, curve, ellipse, placing

AVERAGE_HALF_DISTANCE = 1.95  # midline to head centre in the landmarks below

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
        high = np.clip(-points[:, 1] - 0.7, 0, None)  # only the wing above the joint varies in height and flare
        points[:, 1] -= high * (patient.height - 1)
        flare = patient.flare + mirror * pose.turn
        points[:, 0] = 1.6 + (points[:, 0] - 1.6) * (1 + (flare - 1) * np.clip(high, 0, 1))
        return placed(points, patient, mirror)

    def ring(landmarks: Points) -> Points:
        points = landmarks.copy()
        low = np.clip(points[:, 1] - 0.3, 0, None)
        points[:, 1] += low * (pose.tilt * (1.25 - 0.35 * patient.female) - 1)
        return placed(points, patient, mirror)

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


def spine(patient: Patient) -> Iterator[Shape]:
    """Vertebrae from L5 upwards, with pedicles, spinous and transverse processes, and the lowest ribs."""
    d = patient.density
    for level in range(10):
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


def placed(points: Points, patient: Patient, mirror: int) -> Points:
    """Landmarks of the average pelvis, of its picture-right half, as those of this `patient`; `mirror` -1 is picture-left."""
    return points * (mirror * patient.half_distance / AVERAGE_HALF_DISTANCE, 1)


def _dense(points: Points) -> Points:
    """Add points to an open line: the closed curve through it, without the closing segment."""
    return curve(points)[: -6 * 2 + 1]


HEAD_RADIUS = 0.5  # head diameters, the unit of length

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
    """Femur and tibia in the body's coordinates; the diameter of the head is the pose's magnification."""
    bone, *parts = femur_parts(patient, pose, side, headless)
    shapes = [bone, Shape((curve(TIBIA),), 0.4 * patient.density, 0.2, 0.25 * patient.density, 0.05), *parts]
    return [shape.moved(hip_transform(patient, pose, side)) for shape in shapes]


def femur_outline(patient: Patient, pose: Pose, side: int) -> Points:
    """Landmarks ``[N, 2]`` of the femur without its head, in femur coordinates."""
    lesser = LESSER_TROCHANTER - (0.16 * pose.rotation[side], 0)
    outline = np.concatenate([LATERAL, CONDYLES, MEDIAL, lesser, CALCAR])
    reach = np.clip(outline[:, 0], 0, 1)  # 0 at the head, 1 at the trochanter: the head stays where it is
    outline[:, 0] *= 1 + (patient.neck * (1 - 0.08 * pose.rotation[side]) - 1) * reach
    outline[:, 1] -= patient.valgus * reach * np.clip(2 - outline[:, 1] / 2, 0, 1)
    return outline


def femur_parts(patient: Patient, pose: Pose, side: int, headless: bool = False) -> list[Shape]:
    """The femur, which comes first, and what strengthens it, in femur coordinates."""
    d, outline = patient.density, curve(femur_outline(patient, pose, side))
    crest = np.array([(1.0, 0.1), (0.85, 0.45), (0.66, 0.8), (0.5, 1.12)])
    beam = np.array([(-0.1, -0.3), (0.12, 0.05), (0.3, 0.4), (0.5, 0.8)])
    # cortex of the shaft: two long walls that are thickest at mid-shaft
    walls = [
        np.array([(1.4, 1.0), (1.2, 1.6), (1.13, 2.4), (1.12, 5.0), (1.2, 6.8)]),
        np.array([(0.34, 0.72), (0.5, 1.5), (0.62, 2.4), (0.68, 5.0), (0.6, 6.8)]),
    ]
    contours = (outline,) if headless else (outline, head(patient, side))
    shapes = [
        Shape(contours, 0.42 * d, 0.2, 0.2 * d, 0.035, joined=True),
        Shape((ellipse((0.85, 8.0), (0.42, 0.45)),), 0.15 * d, 0.2),
        Shape((band(crest, [0.05, 0.1, 0.1, 0.06]),), 0.12 * d, 0.04),
        Shape((band(beam, [0.3, 0.26, 0.2, 0.1]),), 0.16 * d, 0.1),
    ]
    return shapes + [Shape((band(wall, [0.03, 0.12, 0.2, 0.2, 0.05]),), 0.5 * d, 0.06) for wall in walls]


def head(patient: Patient, side: int) -> Points:
    """Outline ``[N, 2]`` of the femoral head in femur coordinates: a circle, flattened if the head has collapsed."""
    outline = ellipse((0, 0), (HEAD_RADIUS, HEAD_RADIUS))
    upper = np.clip(-outline[:, 1] / HEAD_RADIUS, 0, 1)
    outline[:, 1] *= 1 - 0.4 * patient.collapse[side] * upper**2
    outline[:, 0] *= 1 + 0.06 * patient.collapse[side] * upper
    return outline


def disease(patient: Patient, pose: Pose, side: int) -> list[Shape]:
    """Osteophytes at the head-neck junction, subchondral sclerosis and a cyst, in the body's coordinates."""
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


METAL, CEMENT = 2.6, 0.5  # optical depths


def implant(kind: str, patient: Patient, pose: Pose, side: int, rng: np.random.Generator) -> list[Shape]:
    """The implant `kind` in the hip of `side`; the ball of a prosthesis has the centre of the femoral head."""
    shapes = IMPLANTS[kind](rng)
    return [shape.moved(hip_transform(patient, pose, side)) for shape in shapes]


def gonad_shield(patient: Patient, rng: np.random.Generator) -> Shape:
    """A lead shield over the midline, clear of the hips: low and heart-shaped for men, higher and broader for women."""
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
    """Ball, neck and a tapering stem in the medullary canal."""
    length = rng.uniform(2.2, 3.6)
    width = rng.uniform(0.28, 0.42)
    line = np.array([(0.45, 0.3), (0.66, 0.75), (0.82, 1.2), (0.88, 1.8), (0.88, length)])
    neck = np.array([(0.0, 0.0), (0.25, 0.22), (0.5, 0.45)])
    stem = _rod(line, [width * 0.9, width * 1.5, width * 1.25, width, width * 0.55])
    return [_ball(rng.uniform(0.27, 0.38)), _rod(neck, [0.22, 0.2, 0.3]), stem]


def _cup(rng: np.random.Generator) -> list[Shape]:
    """A metal-backed or cemented cup around the ball, open downwards and outwards, perhaps with screws."""
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
    """Lag screw in the neck, plate along the lateral shaft, screws across the shaft."""
    holes = rng.integers(3, 6)
    bottom = 1.1 + 0.42 * holes
    shapes = [_rod([(1.4, 1.1), (-0.1, -0.18)], 0.17), _rod([(1.36, 0.85), (1.27, 1.4), (1.26, bottom)], 0.13)]
    return shapes + [_rod([(1.28, y), (0.5, y)], 0.09) for y in np.linspace(1.6, bottom - 0.15, holes)]


def _nail(rng: np.random.Generator) -> list[Shape]:
    """Intramedullary nail with a blade through the neck and a locking screw."""
    bottom = rng.uniform(2.6, 4.5)
    nail = _rod([(1.02, -0.1), (0.95, 0.8), (0.9, 1.6), (0.89, bottom)], [0.28, 0.27, 0.22, 0.2])
    return [nail, _rod([(1.45, 1.02), (-0.15, -0.12)], 0.19), _rod([(1.25, bottom - 0.3), (0.5, bottom - 0.3)], 0.09)]


def _screws(rng: np.random.Generator) -> list[Shape]:
    """Three parallel screws through the neck."""
    return [_rod([(1.42, 0.75 + y), (-0.12, -0.22 + y)], 0.12) for y in (-0.16, 0.02, 0.22)]


def _cemented(rng: np.random.Generator) -> list[Shape]:
    """A stem in cement, and a plastic cup, of which cement and a wire show."""
    stem, length = _stem(rng), rng.uniform(3.0, 4.2)
    line = np.array([(0.6, 0.75), (0.82, 1.2), (0.89, 1.8), (0.89, length)])
    cement = band(line, np.array([0.7, 0.62, 0.52, 0.45]) * rng.uniform(0.85, 1.05))
    opening = rng.uniform(35, 55)
    bed = band(arc((0, 0), 0.55, opening + 175, opening + 365), rng.uniform(0.08, 0.18))
    wire = _rod(arc((0, 0), 0.44, opening + 180, opening + 360), 0.03)
    return [Shape((cement,), CEMENT, 0.05), Shape((bed,), CEMENT, 0.04), wire, *stem]


def _resurfacing(rng: np.random.Generator) -> list[Shape]:
    """A cap with a pin on the head, and a cup."""
    angle = rng.uniform(0.75, 1.0)  # of the neck
    way = np.array([np.cos(angle), np.sin(angle)])
    cap = ellipse((0, 0), (0.46, 0.46))
    cap -= np.clip(cap @ way - rng.uniform(0.08, 0.2), 0, None)[:, None] * way
    return [*_cup(rng), Shape((cap,), METAL, 0.04), _rod(np.array([way * 0.1, way * rng.uniform(0.6, 0.95)]), 0.1)]


def _plate(rng: np.random.Generator) -> list[Shape]:
    """A plate along the shaft, with screws across it."""
    top, holes = rng.uniform(1.3, 2.6), int(rng.integers(5, 10))
    bottom, thick = min(top + 0.45 * holes, 6.8), rng.uniform(0.1, 0.16)
    ends = np.array([(1.27, top), (1.22, (top + bottom) / 2), (1.24, bottom)])
    levels = np.linspace(top + 0.15, bottom - 0.15, holes)
    used = levels[rng.random(holes) < 0.8]
    tips = rng.uniform(0.45, 0.6, len(used))
    return [_rod(ends, thick), *(_rod([(1.25, y), (tip, y)], 0.08) for y, tip in zip(used, tips))]


def _long_nail(rng: np.random.Generator) -> list[Shape]:
    """A nail through the whole shaft, with locking screws at both ends and none in the neck."""
    bottom = rng.uniform(5.5, 7.4)
    nail = _rod([(1.06, -0.3), (0.95, 0.8), (0.9, 1.6), (0.88, bottom)], rng.uniform(0.18, 0.28))
    return [nail, *(_rod([(1.3, y), (0.45, y + rng.uniform(-0.3, 0.1))], 0.09) for y in (1.2, bottom - 0.3))]


IMPLANTS: dict[str, Callable[[np.random.Generator], list[Shape]]] = {
    TOTAL_HIP: lambda rng: _stem(rng) + _cup(rng),
    HEMI: lambda rng: [*_stem(rng), _ball(0.49)],
    CEMENTED: _cemented,
    CUP: _cup,
    RESURFACING: _resurfacing,
    SLIDING_SCREW: _sliding_screw,
    SCREWS: _screws,
    NAIL: _nail,
    LONG_NAIL: _long_nail,
    PLATE: _plate,
}
