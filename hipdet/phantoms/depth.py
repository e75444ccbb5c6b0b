"""Render a plan as maps of optical depth: soft tissue with bowel gas, bone, and metal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hipdet.phantoms import limbs, skeleton
from hipdet.phantoms.plan import REPLACEMENTS, SOURCES, FilmPlan, Patient, Pose, deform, hip_centres
from hipdet.phantoms.shapes import (
    Map,
    Points,
    Shape,
    affine,
    band,
    clouds,
    curve,
    disc,
    ellipse,
    optical_depth,
    placing,
)


def body(patient: Patient, pose: Pose, rng: np.random.Generator) -> list[Shape]:
    """Trunk and thighs, and an abdomen that makes the upper part of the film brighter."""
    g, fat = patient.girth, patient.fat
    knees = [1.15 + np.sin(angle) * 7 for angle in pose.abduction]  # half-widths change with the abduction of the legs
    waist = g * rng.uniform(0.85, 1.05)
    crotch = 2.1 + rng.uniform(-0.3, 0.5)
    gap = rng.uniform(0.02, 0.3)
    right = [(gap, crotch + 1), (0.35 + gap, 5), (knees[1] - 0.5, 8), (knees[1], 14), (knees[1] + 2.2, 14)]
    right += [(knees[1] + 2.4, 8), (g * 0.9, 4), (g * 1.02, 1.2), (g, -0.5), (waist, -3), (waist * 0.95, -7)]
    right += [(waist * 0.9, -14)]
    left = [(-x - (0 if y < 3.5 else knees[0] - knees[1]), y) for x, y in right[::-1]]
    outline = curve(np.array([(0, crotch), *right, *left]))
    shapes = [Shape((outline,), fat, 1.3), Shape((outline,), 0.3 * fat, 0.25)]
    lower_edge = rng.uniform(-2.5, -0.2)
    abdomen = ellipse((rng.normal(0, 0.2), lower_edge - 4.5), (waist * 0.97, 4.5))
    shapes.append(Shape((abdomen,), fat * rng.uniform(0.1, 0.7), rng.uniform(0.7, 2.0)))
    return shapes + _details(patient, crotch, rng)


def turned_body(patient: Patient, pose: Pose, rng: np.random.Generator) -> list[Shape]:
    """As `body`, with legs in any direction and down to the feet."""
    crotch = 2.0 + rng.uniform(-0.3, 0.4)
    return limbs.silhouette(patient, pose, crotch, rng) + _details(patient, crotch, rng)


def gas(rng: np.random.Generator) -> list[Shape]:
    """Bowel gas: strings of dark bubbles over pelvis and abdomen, stool, and gas of the rectum in the midline."""
    shapes = []
    for _ in range(rng.integers(2, 9)):
        centre = np.array([rng.normal(0, 1.6), rng.uniform(-7, -0.6)])
        for _ in range(rng.integers(1, 7)):
            radii = rng.uniform(0.1, 0.42, 2)
            depth = -rng.uniform(0.06, 0.3)
            shapes.append(Shape((ellipse(centre, radii, rng.uniform(0, 3)),), depth, rng.uniform(0.05, 0.2)))
            centre = centre + rng.normal(0, 0.4, 2)
    for _ in range(rng.integers(0, 3)):  # stool: many small bubbles
        middle = np.array([rng.normal(0, 1.5), rng.uniform(-5, -0.5)])
        for _ in range(rng.integers(10, 30)):
            centre = middle + rng.normal(0, 0.4, 2)
            depth = rng.choice([-1, 0.6]) * rng.uniform(0.04, 0.2)
            shapes.append(Shape((ellipse(centre, rng.uniform(0.05, 0.2, 2), rng.uniform(0, 3)),), depth, 0.05))
    for _ in range(rng.integers(0, 5)):
        centre = np.array([rng.normal(0, 0.3), rng.uniform(-1.7, 0)])
        shapes.append(Shape((ellipse(centre, rng.uniform(0.15, 0.45, 2)),), -rng.uniform(0.05, 0.25), 0.12))
    return shapes


def _details(patient: Patient, crotch: float, rng: np.random.Generator) -> list[Shape]:
    """Genitals, bladder, and the skin folds of buttocks and groins."""
    shapes = []
    if patient.female < 0.5 and rng.random() < 0.8:
        for sign in (-1, 1):
            shapes.append(Shape((ellipse((0.3 * sign, crotch), (0.4, rng.uniform(0.5, 0.8))),), 0.35, 0.3))
    if rng.random() < 0.5:
        shapes.append(Shape((ellipse((0, -0.35), rng.uniform(0.6, 1.0, 2)),), 0.12, 0.35))
    for sign in (-1, 1):  # buttock and groin folds
        y = rng.uniform(1.6, 2.6)
        fold = np.array([(0.15 * sign, y), (1.2 * sign, y + 0.35), (2.4 * sign, y + rng.uniform(-0.3, 0.2))])
        shapes.append(Shape((band(fold, [0.05, 0.12, 0.04]),), -rng.uniform(0, 0.12), 0.06))
        groin = np.array([(0.2 * sign, 1.6), (1.6 * sign, 0.7), (3.6 * sign, -1.2)])
        shapes.append(Shape((band(groin, [0.05, 0.15, 0.05]),), rng.uniform(-0.05, 0.08), 0.08))
    return shapes


WORKING_SIDE = (448, 960)  # px, limits of the maps' long side: fine enough for small films, fast enough for large ones
OVERSAMPLING = 1.25  # working pixels per film pixel, within these limits
SHIELDS = 0.05  # probability of a gonad shield


@dataclass(frozen=True)
class Depths:
    """Optical depths ``[h, w]`` at working resolution."""

    soft: Map
    bone: Map
    metal: Map


def working_frame(plan: FilmPlan) -> tuple[tuple[int, int], Points]:
    """Size (height, width) of the maps, and the affine ``[2, 3]`` from the body's coordinates to their pixels."""
    side = max(plan.width, plan.height)
    scale = float(np.clip(OVERSAMPLING * side, *WORKING_SIDE)) / side  # working pixels per film pixel
    size = (round(plan.height * scale), round(plan.width * scale))
    stretch = np.array([size[1] / plan.width, size[0] / plan.height])  # corrects for the rounding of the size
    return size, plan.transform * stretch[:, None]


def expose(plan: FilmPlan, rng: np.random.Generator) -> Depths:
    """Render the soft tissue, bone and metal of `plan`."""
    size, transform = working_frame(plan)
    unit = float(np.linalg.norm(transform[:, 0]))  # working pixels per head diameter
    draw = body if plan.source in SOURCES else turned_body
    soft = optical_depth(draw(plan.patient, plan.pose, rng), size, transform)
    soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), 0.12 * unit) if unit < 120 else soft)
    bubbles = optical_depth(gas(rng), size, transform)
    texture = 0.7 * clouds(rng, size, 0.5 * unit) + 0.5 * clouds(rng, size, max(0.14 * unit, 2))
    soft = np.maximum(soft * (1 + np.float32(rng.uniform(0.003, 0.022)) * texture) + bubbles * (soft > 0.5), 0)
    bone = bones(plan)
    grain = clouds(rng, size, max(0.035 * unit, 1.2)) + 0.8 * clouds(rng, size, 0.2 * unit)
    bone *= 1 + np.float32(rng.uniform(0.02, 0.07)) * grain
    metal = [
        s for i, kind in enumerate(plan.kinds) if kind for s in skeleton.implant(kind, plan.patient, plan.pose, i, rng)
    ]
    if rng.random() < SHIELDS:
        metal.append(skeleton.gonad_shield(plan.patient, rng))
    return Depths(soft, bone, optical_depth(metal, size, transform))


def bones(plan: FilmPlan) -> Map:
    """Optical depth ``[h, w]`` of the skeleton alone, without texture."""
    size, transform = working_frame(plan)
    patient, pose = plan.patient, plan.pose
    unit = float(np.linalg.norm(transform[:, 0]))
    centres = affine(transform, hip_centres(patient))
    sides = (0, 1)
    ring = [shape for side in sides for shape in skeleton.half_pelvis(patient, pose, side)]
    depth = optical_depth(_deformed(patient, ring), size, transform)
    if gaps := [shape for side in sides for shape in limbs.cartilage(patient, side)]:
        depth *= np.maximum(1 - optical_depth(_deformed(patient, gaps), size, transform), 0)
    for side in sides:  # the acetabulum is hollow: only thin walls in front of the head and behind it
        hollow = (0.56 - 0.05 * patient.osteoarthritis[side]) * pose.magnification[side] * unit
        sharp, soft = (disc(size, centres[side], hollow, edge * unit) for edge in (0.05, 0.3))
        depth *= 1 - 0.45 * sharp - 0.12 * soft
    depth += optical_depth(_deformed(patient, [*skeleton.sacrum(patient), *skeleton.spine(patient)]), size, transform)
    depth += optical_depth([shape for side in sides for shape in skeleton.socket(patient, side)], size, transform)
    replaced = [kind in REPLACEMENTS for kind in plan.kinds]
    draw = skeleton.femur if plan.source in SOURCES else limbs.leg
    legs = [_deformed(patient, draw(patient, pose, side, headless=replaced[side])) for side in sides]
    for side, joint in enumerate(patient.joints):
        if any(joint.shift):  # after the deformation, which would move a head that isn't in its socket
            legs[side] = [shape.moved(placing(joint.shift)) for shape in legs[side]]
    thigh = optical_depth(legs[0] + legs[1], size, transform)
    for side in sides:
        if replaced[side]:  # the neck is resected as well
            thigh *= 1 - disc(size, centres[side], 0.62 * unit, 0.06 * unit)
    disease = [shape for side in sides if not replaced[side] for shape in skeleton.disease(patient, pose, side)]
    depth += optical_depth(disease, size, transform)
    return np.asarray(np.maximum(depth + thigh, 0), dtype=np.float32)


def _deformed(patient: Patient, shapes: list[Shape]) -> list[Shape]:
    """`shapes` with the irregularities of this patient."""
    return [replace(s, contours=tuple(deform(patient, contour) for contour in s.contours)) for s in shapes]
