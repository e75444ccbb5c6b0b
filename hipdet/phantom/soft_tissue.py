"""Everything that is not bone: the body, belly, gas, genitals, skin folds."""

from __future__ import annotations

import numpy as np

from hipdet.phantom.outline import Shape, band, curve, ellipse
from hipdet.phantom.patient import Patient, Pose


def body(patient: Patient, pose: Pose, rng: np.random.Generator) -> list[Shape]:
    """Trunk with both thighs, and a belly that whitens the upper film."""
    g, fat = patient.girth, patient.fat
    knees = [1.15 + np.sin(angle) * 7 for angle in pose.abduction]  # half-widths shift with the legs
    waist = g * rng.uniform(0.85, 1.05)
    crotch = 2.1 + rng.uniform(-0.3, 0.5)
    gap = rng.uniform(0.02, 0.3)
    right = [(gap, crotch + 1), (0.35 + gap, 5), (knees[1] - 0.5, 8), (knees[1], 14), (knees[1] + 2.2, 14)]
    right += [(knees[1] + 2.4, 8), (g * 0.9, 4), (g * 1.02, 1.2), (g, -0.5), (waist, -3), (waist * 0.95, -7)]
    right += [(waist * 0.9, -14)]
    left = [(-x - (0 if y < 3.5 else knees[0] - knees[1]), y) for x, y in right[::-1]]
    outline = curve(np.array([(0, crotch), *right, *left]))
    shapes = [Shape((outline,), fat, 1.3), Shape((outline,), 0.3 * fat, 0.25)]
    top = rng.uniform(-2.5, -0.2)  # lower edge of the belly
    belly = ellipse((rng.normal(0, 0.2), top - 4.5), (waist * 0.97, 4.5))
    shapes.append(Shape((belly,), fat * rng.uniform(0.1, 0.7), rng.uniform(0.7, 2.0)))
    return shapes + _details(patient, crotch, rng)


def gas(rng: np.random.Generator) -> list[Shape]:
    """Bowel gas: dark bubbles in strings over the pelvis and the belly, the rectum's bubble in the midline."""
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
    """Genitals, bladder and folds."""
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
