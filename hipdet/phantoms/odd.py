"""Plan films that the paper's sources lack but archives hold: one hip, thighs turned out, children, dislocated, broken hips.

A detector that has to find hips on such films can be pretrained on these.  The label is a square of 1.8 head diameters about
the head, as in the other sources: of a child about the whole head with its cartilage, of a dislocated hip about the head, not
the socket.  A hip is labelled if the film's edge cuts at most a tenth of its head, and is a box to ignore if it cuts more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hipdet.core.boxes import Boxes
from hipdet.phantoms.plan import (
    CEMENTED,
    CUP,
    LONG_NAIL,
    METALS,
    PLATE,
    RESURFACING,
    ROI_IN_HEADS,
    Break,
    FilmPlan,
    Joint,
    Pair,
    Patient,
    Pose,
    Source,
    draw_patient,
    draw_pose,
    head_centres,
    label,
    normal,
)
from hipdet.phantoms.shapes import Points, affine, placing
from hipdet.phantoms.skeleton import AVERAGE_HALF_DISTANCE

ODD = "odd"
LOOK = Source(
    5, 1, 0.19, 0.04, 0.2, 1.2, 0.12, (0.75, 1.45), disease=0.3, metal=0.27, gamma=(0.6, 2.8), white=(0.85, 1.0),
    contrast_loss=(0.0, 0.3), photons=(3.0, 4.8), sharpen=(0.0, 1.2), collimation=0.3, letters=0.5,
)  # fmt: skip
CHILD = 0.4  # share of films
ONE_HIP = {True: 0.3, False: 0.55}  # share of films cut so that a hip is off, of children and of adults
TURNED = {True: 0.4, False: 0.3}  # share of films with a thigh turned out
TURN = (30, 70)  # degrees by which it is
CHILD_RATIO, ADULT_RATIO = (0.06, 0.15), (0.12, 0.32)  # side of the ROI / long side of the film
UNUSUAL = {  # shares of films with such a hip, of children and of adults
    True: {"dislocated": 0.15, "fracture": 0.08, "metal": 0.06},
    False: {"dislocated": 0.13, "fracture": 0.17, "metal": LOOK.metal},
}
IMPLANTS = (CEMENTED, CUP, RESURFACING, PLATE, LONG_NAIL, *METALS)
CHANCES = (0.14, 0.06, 0.12, 0.16, 0.12, 0.12, 0.08, 0.08, 0.06, 0.06)
CHILD_IMPLANTS = (PLATE, LONG_NAIL)
LEAST_CUT = 0.1  # of a head's diameter outside the film, above which the hip is ignored
LONG_SIDES = (400, 3000)  # px


@dataclass(frozen=True)
class Hips:
    """The hips of a film by what is done with them: labelled, ignored or, of which nothing is on the film, neither."""

    labelled: tuple[int, ...]
    ignored: tuple[int, ...]


def plan_odd(index: int, seed: int = 0, max_side: int | None = None) -> FilmPlan:
    """Plan film `index` (from 0); the same arguments give the same plan, regardless of other films."""
    rng = np.random.default_rng([seed, LOOK.number, index])
    child, side = bool(rng.random() < CHILD), int(rng.integers(2))
    patient = _child(rng) if child else draw_patient(rng, LOOK.disease)
    pose = _pose(rng, patient, child, side)
    patient, kinds = _unusual(patient, pose, child, side, rng)
    if any(kinds):  # implants are straight
        pose = replace(pose, flexion=(0.0, 0.0))
    alone = bool(rng.random() < ONE_HIP[child])
    drawn = round(float(np.exp(rng.uniform(*np.log(LONG_SIDES)))))
    long_side = drawn if max_side is None else min(drawn, max_side)
    tall = normal(rng, LOOK.aspect_mean, LOOK.aspect_sd, *LOOK.aspect_range)  # height / width
    width, height = round(long_side * min(1, 1 / tall)), round(long_side * min(1, tall))
    place = _one_hip if alone else _both_hips
    transform = place(patient, pose, side, _ratio(rng, child), (width, height), rng)
    boxes = label(patient, pose, transform)
    hips = sort_hips(boxes, (width, height))
    return FilmPlan(
        source=ODD,
        width=width,
        height=height,
        transform=transform,
        hips=boxes[list(hips.labelled)],
        kinds=kinds,
        name=f"{ODD}_patient_{index + 1:05d}",
        patient=patient,
        pose=pose,
        seed=(seed, LOOK.number, index, 1),
        labelled=hips.labelled,
        ignored=tuple(tuple(boxes[hip].tolist()) for hip in hips.ignored),
        view="abducted"
        if max(pose.abduction[hip] for hip in hips.labelled) > np.radians(TURN[0]) - 0.01
        else "frontal",
    )


def sort_hips(boxes: Boxes, size: tuple[int, int]) -> Hips:
    """Sort the hips with `boxes` ``[2, 4]`` by how much of the head and of the box is on a film of `size` (width, height)."""
    sides = boxes[:, 2] - boxes[:, 0]
    over = np.maximum(-boxes[:, :2], boxes[:, 2:] - size).max(axis=1) / sides  # part of the side outside the film
    most = ((ROI_IN_HEADS - 1) / 2 + LEAST_CUT) / ROI_IN_HEADS
    labelled = tuple(int(hip) for hip in np.flatnonzero(over <= most))
    seen = np.flatnonzero((over > most) & ((1 - over) * sides >= 1.5))  # px: less can't be a box
    return Hips(labelled, tuple(int(hip) for hip in seen))


def kind_of(plan: FilmPlan, side: int) -> str:
    """The kind of the hip on `side`: metal, fracture, dislocated, child or normal."""
    joint = plan.patient.joints[side]
    if plan.kinds[side]:
        return "metal"
    if joint.growth < 1:
        return "child"
    if joint.fracture:
        return "fracture"
    return "dislocated" if any(joint.shift) else "normal"


def _child(rng: np.random.Generator) -> Patient:
    """A child of about 1 to 14 years: the younger, the farther apart the hips are, in diameters of their heads."""
    growth = float(rng.uniform(0, 0.97))
    patient = draw_patient(rng, disease=0.0)
    apart = float((1 - growth) * rng.uniform(2.1, 2.85) + growth * rng.uniform(1.8, 2.1))
    return replace(
        patient,
        half_distance=apart,
        height=float(rng.normal(0.9 + 0.1 * growth, 0.05)) * apart / AVERAGE_HALF_DISTANCE,
        girth=float(rng.uniform(1.75, 2.4) * apart),
        flare=patient.flare * float(rng.uniform(0.7, 1.0)),
        fat=float(rng.uniform(0.6, 1.8)),
        density=float(rng.uniform(0.35, 0.95)),
        neck=float(rng.normal(0.86 + 0.1 * growth, 0.04)),
        valgus=float(rng.normal(0.1 - 0.1 * growth, 0.08)),
        waves=patient.waves * (1, 1, 1, 0.5),  # whole legs are on the film: they would look wavy
        joints=(Joint(growth), Joint(growth)),
    )


def _pose(rng: np.random.Generator, patient: Patient, child: bool, side: int) -> Pose:
    """The pose: legs straight, one thigh turned out, or both; the knees may be bent."""
    pose = draw_pose(rng)
    straight = rng.normal(-0.04, 0.06, 2)
    angles, knees = np.clip(straight, -0.2, 0.25), rng.normal(0, 0.04, 2)
    turned = np.zeros(2, dtype=bool)
    if rng.random() < TURNED[child]:
        turned[side] = True
        turned[1 - side] = rng.random() < 0.5
    out = np.radians(rng.uniform(*TURN)) + rng.normal(0, 0.08, 2)  # both sides much alike
    angles = np.where(turned, np.clip(out, *np.radians(TURN)), angles)
    knees = np.where(turned, rng.uniform(0, 1.9, 2), knees)
    flexion = np.where(turned, (angles - 0.25) * rng.uniform(0.3, 0.8), 0)
    low = pose.tilt * 1.1 * patient.half_distance / AVERAGE_HALF_DISTANCE if child else pose.tilt
    return replace(pose, abduction=_pair(angles), knee=_pair(knees), flexion=_pair(flexion), tilt=low)


def _pair(values: Points) -> Pair:
    return float(values[0]), float(values[1])


def _unusual(
    patient: Patient, pose: Pose, child: bool, side: int, rng: np.random.Generator
) -> tuple[Patient, tuple[str | None, str | None]]:
    """`patient` with a dislocated or broken hip on `side`, perhaps; and the metal in each hip."""
    shares = UNUSUAL[child]
    what = rng.choice([*shares, ""], p=[*shares.values(), 1 - sum(shares.values())])
    kinds: list[str | None] = [None, None]
    joints = list(patient.joints)
    sides = [side] + [1 - side] * int(rng.random() < 0.2)
    for each in sides if what else []:
        if what == "metal":
            kinds[each] = str(rng.choice(CHILD_IMPLANTS) if child else rng.choice(IMPLANTS, p=CHANCES))
        elif what == "dislocated":
            joints[each] = replace(joints[each], shift=_dislocation(rng, each))
        elif each == side:
            joints[each] = replace(joints[each], fracture=_fracture(rng, child))
    if what in ("dislocated", "fracture"):  # the worn-out hip is another group
        patient = replace(patient, osteoarthritis=(0.0, 0.0), collapse=(0.0, 0.0))
    return replace(patient, joints=(joints[0], joints[1])), (kinds[0], kinds[1])


def _dislocation(rng: np.random.Generator, side: int) -> Pair:
    """The way of the head: up and out of its socket, now and then down and in."""
    mirror = (-1, 1)[side]
    if rng.random() < 0.85:
        return mirror * float(rng.uniform(0.25, 0.95)), -float(rng.uniform(0.35, 1.5))
    return -mirror * float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.4, 0.9))


def _fracture(rng: np.random.Generator, child: bool) -> Break:
    """A broken neck, a fracture through the trochanters, or one of the shaft, as most of those of children."""
    chances = (0.15, 0.15, 0.7) if child else (0.5, 0.35, 0.15)
    where = int(rng.choice(3, p=chances))
    angle = (0.88, 0.88, np.pi / 2)[where] + rng.normal(0, 0.2)  # of the line's normal
    at = rng.uniform(*((0.48, 0.72), (0.95, 1.25), (2.4, 5.5))[where])
    up = rng.uniform(0.05, 0.5) if where < 2 else rng.uniform(-0.2, 0.8)
    out = rng.normal(0.05, 0.1) if where < 2 else rng.normal(0, 0.35)
    return Break(
        normal=(float(np.cos(angle)), float(np.sin(angle))),
        at=float(at),
        gap=float(rng.uniform(0.02, 0.14)),
        tilt=float(rng.normal(0.15, 0.15) if where < 2 else rng.normal(0, 0.25)),
        slip=(float(out), -float(up)),
    )


def _ratio(rng: np.random.Generator, child: bool) -> float:
    """Side of the ROI / long side of the film."""
    if child:
        return float(np.exp(rng.uniform(*np.log(CHILD_RATIO))))
    if rng.random() < LOOK.ratio_uniform:
        return float(rng.uniform(*ADULT_RATIO))
    return normal(rng, LOOK.ratio_mean, LOOK.ratio_sd, *ADULT_RATIO)


def _scaled(pose: Pose, side: int, ratio: float, size: tuple[int, int], rng: np.random.Generator) -> Points:
    """Affine ``[2, 3]``, still about the film's corner, by which the ROI on `side` has this ratio."""
    angle = float(np.clip(rng.normal(0, 0.05), -0.2, 0.2))
    return placing((0, 0), scale=ratio * max(size) / ROI_IN_HEADS / pose.magnification[side], angle=angle)


def _both_hips(
    patient: Patient, pose: Pose, side: int, ratio: float, size: tuple[int, int], rng: np.random.Generator
) -> Points:
    """Draw the affine ``[2, 3]`` from the body to the film; the heads, and mostly the whole labels, are on the film."""
    apart = float(np.ptp(head_centres(patient)[:, 0])) + ROI_IN_HEADS  # head diameters that the labels span
    most = 0.94 * ROI_IN_HEADS * size[0] / max(size) / apart
    transform = _scaled(pose, side, min(ratio, most), size, rng)
    boxes = label(patient, pose, transform)
    high = rng.uniform(0.2, 0.6) if size[1] > size[0] else rng.uniform(0.35, 0.62)
    wanted = np.array([size[0] * rng.normal(0.5, 0.08), size[1] * high])
    return _moved(transform, wanted, boxes, size)


def _one_hip(
    patient: Patient, pose: Pose, side: int, ratio: float, size: tuple[int, int], rng: np.random.Generator
) -> Points:
    """Draw the affine ``[2, 3]`` from the body to the film; the edge on the other hip's side cuts that hip, or it is off."""
    transform = _scaled(pose, side, ratio, size, rng)
    heads = affine(transform, head_centres(patient))
    head = ratio * max(size) / ROI_IN_HEADS
    mirror = (-1, 1)[side]  # the edge is to the left of a picture-right hip
    farthest = 2.2 if ratio > CHILD_RATIO[1] else 0.8  # of a small hip, the other side is cut closely
    beyond = rng.uniform(-0.3, farthest) * head  # from the edge to the other head
    edge = 0 if mirror > 0 else size[0]
    x = edge + mirror * (mirror * (heads[side, 0] - heads[1 - side, 0]) - beyond)
    wanted = np.array([x, size[1] * (rng.uniform(0.18, 0.5) if size[1] > size[0] else rng.uniform(0.3, 0.65))])
    boxes = label(patient, pose, transform)[side : side + 1]
    return _moved(transform, wanted - heads[side], boxes, size, rng.uniform(0, 0.2) if rng.random() < 0.15 else 0)


def _moved(transform: Points, wanted: Points, boxes: Boxes, size: tuple[int, int], over: float = 0) -> Points:
    """`transform` moved as `wanted`, but with `boxes` on the film: at most the part `over` of a side is outside."""
    room = over * (boxes[:, 2] - boxes[:, 0]).max()
    low = -room - boxes[:, :2].min(axis=0)
    high = np.array(size) + room - boxes[:, 2:].max(axis=0)
    moved = transform.copy()
    moved[:, 2] += np.where(low <= high, np.clip(wanted, low, high), (low + high) / 2)
    return moved
