"""What a film will show and where, settled before a pixel is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hipdet.core.boxes import Boxes
from hipdet.phantoms.femur import KINDS, REPLACEMENTS, TOTAL_HIP
from hipdet.phantoms.patient import (
    RATIO_MAX,
    RATIO_MIN,
    SOURCES,
    Patient,
    Pose,
    Source,
    draw_aspect,
    draw_long_side,
    draw_patient,
    draw_pose,
    draw_ratio,
    hip_centres,
)
from hipdet.phantoms.shapes import Points, affine, placing

ROI_IN_HEADS = 1.8  # side of the square label in femoral head diameters
MARGIN = 0.004  # of the long side, between label and film edge


@dataclass(frozen=True)
class FilmPlan:
    """Everything about a film but its pixels."""

    source: str
    width: int
    height: int
    transform: Points  # [2, 3] body coordinates (head diameters) to film pixels
    hips: Boxes  # [2, 4]
    kinds: tuple[str | None, str | None]  # metal in either hip, of hipdet.phantoms.femur.KINDS
    name: str  # of the patient
    patient: Patient
    pose: Pose
    seed: tuple[int, ...]  # for the random numbers of the rendering


def plan_film(source: str, index: int, seed: int = 0, max_side: int | None = None) -> FilmPlan:
    """Plan film `index` of `source`: same arguments, same plan, whatever other films are made."""
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}, expected one of {', '.join(SOURCES)}")
    if index < 0 or seed < 0 or (max_side is not None and max_side < 32):
        raise ValueError(f"index ({index}) and seed ({seed}) start at 0, max_side ({max_side}) at 32")
    look = SOURCES[source]
    number, visit = divmod(index, look.films_per_patient)
    person = np.random.default_rng([seed, look.number, 1, number])
    rng = np.random.default_rng([seed, look.number, 2, index])
    patient = draw_patient(person, look.disease)
    kinds = _metal(look, visit, patient, person)
    ratio = draw_ratio(look, person) if visit == 0 or rng.random() < 0.8 else draw_ratio(look, rng)
    pose = draw_pose(rng)
    long_side = draw_long_side(source, rng)
    aspect = draw_aspect(look, rng)
    width = long_side if max_side is None else min(long_side, max_side)
    height = round(width * aspect)
    transform = _framing(patient, pose, ratio, width, height, rng)
    return FilmPlan(
        source=source,
        width=width,
        height=height,
        transform=transform,
        hips=_label(patient, pose, transform),
        kinds=kinds,
        name=f"{source}_patient_{number + 1:05d}",
        patient=replace(patient, density=patient.density * float(rng.uniform(0.95, 1.05))),
        pose=pose,
        seed=(seed, look.number, 3, index),
    )


def _metal(look: Source, visit: int, patient: Patient, person: np.random.Generator) -> tuple[str | None, str | None]:
    """Metal in either hip; on the second film of a hospital's patient the worse hip is replaced."""
    chances = person.random(2)
    kinds = person.choice(KINDS, 2, p=(0.5, 0.2, 0.12, 0.1, 0.08))
    metal: list[str | None] = [str(kind) if chance < look.metal else None for kind, chance in zip(kinds, chances)]
    operated = person.random() < 0.62
    if look is SOURCES["cgoa"] and operated:
        before = metal[patient.disease_side]
        metal[patient.disease_side] = TOTAL_HIP if visit else (None if before in REPLACEMENTS else before)
    return metal[0], metal[1]


def _framing(patient: Patient, pose: Pose, ratio: float, width: int, height: int, rng: np.random.Generator) -> Points:
    """Affine ``[2, 3]`` from the body to the film, with both labels inside the film."""
    spread = max(pose.magnification) - 1
    ratio = float(np.clip(ratio, RATIO_MIN / (1 - spread), RATIO_MAX / (1 + spread)))  # of either hip
    scale = ratio * max(width, height) / ROI_IN_HEADS  # pixels per head diameter
    angle = float(np.clip(rng.normal(0, 0.035), -0.12, 0.12))
    centred = placing((0, 0), scale=scale, angle=angle)
    boxes = _label(patient, pose, centred)
    room = MARGIN * max(width, height)
    loose = 1 + 2 * (0.3 - ratio)  # small hips wander more
    wanted = np.array([width * rng.normal(0.5, 0.035 * loose), height * rng.normal(0.58, 0.06 * loose)])
    low = room - boxes[:, :2].min(axis=0)
    high = np.array([width, height]) - room - boxes[:, 2:].max(axis=0)
    centred[:, 2] = np.where(low <= high, np.clip(wanted, low, high), (low + high) / 2)
    return centred


def _label(patient: Patient, pose: Pose, transform: Points) -> Boxes:
    """Squares ``[2, 4]`` of 1.8 head diameters about the head centres, in film pixels."""
    centres = affine(transform, hip_centres(patient))
    scale = float(np.sqrt(np.linalg.det(transform[:, :2])))
    half = np.array(pose.magnification)[:, None] * scale * ROI_IN_HEADS / 2
    return np.concatenate([centres - half, centres + half], axis=1)
