"""From a plan to maps of optical depth: what the rays meet on their way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hipdet.phantom import femur, pelvis, soft_tissue
from hipdet.phantom.canvas import Map, clouds, disc, draw
from hipdet.phantom.implants import REPLACEMENTS, gonad_shield, implant
from hipdet.phantom.outline import Points, Shape, affine
from hipdet.phantom.patient import Patient, deform, hip_centres
from hipdet.phantom.plan import Plan

WORKING_SIDE = (448, 960)  # long side of the maps: fine enough for small films, fast enough for large ones
OVERSAMPLING = 1.25
SHIELDS = 0.05  # chance of a gonad shield


@dataclass(frozen=True)
class Depths:
    """Optical depths ``[h, w]`` at working resolution, `scale` working pixels for one film pixel."""

    soft: Map
    bone: Map
    metal: Map
    scale: float


def working_scale(plan: Plan) -> float:
    """Working pixels for a film pixel."""
    side = max(plan.width, plan.height)
    return float(np.clip(OVERSAMPLING * side, *WORKING_SIDE)) / side


def working_frame(plan: Plan) -> tuple[tuple[int, int], Points]:
    """Size (height, width) of the maps, and the affine ``[2, 3]`` from the body's coordinates to their pixels."""
    scale = working_scale(plan)
    size = (round(plan.height * scale), round(plan.width * scale))
    stretch = np.array([size[1] / plan.width, size[0] / plan.height])  # sizes are whole numbers
    return size, plan.transform * stretch[:, None]


def expose(plan: Plan, rng: np.random.Generator) -> Depths:
    """Draw soft tissue, bone and metal of `plan`."""
    size, transform = working_frame(plan)
    unit = float(np.linalg.norm(transform[:, 0]))  # working pixels per head diameter
    soft = draw(soft_tissue.body(plan.patient, plan.pose, rng), size, transform)
    soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), 0.12 * unit) if unit < 120 else soft)
    bubbles = draw(soft_tissue.gas(rng), size, transform)
    texture = 0.7 * clouds(rng, size, 0.5 * unit) + 0.5 * clouds(rng, size, max(0.14 * unit, 2))
    soft = np.maximum(soft * (1 + np.float32(rng.uniform(0.003, 0.022)) * texture) + bubbles * (soft > 0.5), 0)
    bone = bones(plan)
    grain = clouds(rng, size, max(0.035 * unit, 1.2)) + 0.8 * clouds(rng, size, 0.2 * unit)
    bone *= 1 + np.float32(rng.uniform(0.02, 0.07)) * grain
    metal = [s for i, kind in enumerate(plan.kinds) if kind for s in implant(kind, plan.patient, plan.pose, i, rng)]
    if rng.random() < SHIELDS:
        metal.append(gonad_shield(plan.patient, rng))
    return Depths(soft, bone, draw(metal, size, transform), working_scale(plan))


def bones(plan: Plan) -> Map:
    """Optical depth ``[h, w]`` of the skeleton alone, without texture."""
    size, transform = working_frame(plan)
    patient, pose = plan.patient, plan.pose
    unit = float(np.linalg.norm(transform[:, 0]))
    centres = affine(transform, hip_centres(patient))
    sides = (0, 1)
    ring = [shape for side in sides for shape in pelvis.half_pelvis(patient, pose, side)]
    depth = draw(_bent(patient, ring), size, transform)
    for side in sides:  # the hollow of the socket leaves only thin walls before and behind the head
        hollow = (0.56 - 0.05 * patient.osteoarthritis[side]) * pose.magnification[side] * unit
        depth *= (
            1
            - 0.45 * disc(size, centres[side], hollow, 0.05 * unit)
            - 0.12 * disc(size, centres[side], hollow, 0.3 * unit)
        )
    depth += draw(_bent(patient, [*pelvis.sacrum(patient), *pelvis.spine(patient)]), size, transform)
    depth += draw([shape for side in sides for shape in pelvis.socket(patient, side)], size, transform)
    replaced = [kind in REPLACEMENTS for kind in plan.kinds]
    legs = [shape for side in sides for shape in femur.femur(patient, pose, side, headless=replaced[side])]
    thigh = draw(_bent(patient, legs), size, transform)
    for side in sides:
        if replaced[side]:  # the neck is cut as well
            thigh *= 1 - disc(size, centres[side], 0.62 * unit, 0.06 * unit)
    depth += draw(
        [s for side in sides if not replaced[side] for s in femur.disease(patient, pose, side)], size, transform
    )
    return np.asarray(np.maximum(depth + thigh, 0), dtype=np.float32)


def _bent(patient: Patient, shapes: list[Shape]) -> list[Shape]:
    """`shapes` with the patient's own irregularities."""
    return [replace(s, contours=tuple(deform(patient, contour) for contour in s.contours)) for s in shapes]
