"""Plan a film before a pixel is drawn: the patient, the pose, implants, the position on the film, and the labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipdet.core.boxes import Boxes
from hipdet.phantoms.shapes import Points, affine, placing

Pair = tuple[float, float]  # picture-left hip, picture-right hip


@dataclass(frozen=True)
class Break:
    """A fracture of the femur, in femur coordinates (origin head centre, x lateral, y down the shaft)."""

    normal: Pair  # of the line of the fracture, away from the head
    at: float  # distance of this line from the head centre
    gap: float  # between the two parts
    tilt: float  # rotation of the lower part, radians
    slip: Pair  # its displacement


@dataclass(frozen=True)
class Joint:
    """What is unusual about a hip; the ordinary one is fully grown, in its socket and whole."""

    growth: float = 1.0  # 0 a small nucleus in the head, below 1 open growth plates
    shift: Pair = (0.0, 0.0)  # of the femur from its socket, in the body's coordinates
    fracture: Break | None = None


@dataclass(frozen=True)
class Patient:
    """Anatomy of a patient; lengths in head diameters, amounts between 0 and 1."""

    female: float  # 0 a narrow, tall male pelvis .. 1 a wide, flat female one
    half_distance: float  # midline to femoral head centre
    height: float  # of the iliac wings, relative to average
    flare: float  # width of the iliac wings, relative to average
    girth: float  # half the width of the body at the hips
    fat: float  # optical depth of the body
    density: float  # optical depth of bone, relative to average
    neck: float  # lateral extent of the proximal femur, relative to average
    valgus: float  # rise of the trochanter relative to average
    osteoarthritis: Pair
    collapse: Pair
    scoliosis: float
    waves: NDArray[np.float64]  # [6, 4]: kx, ky, phase, amplitude of the outlines' deformation
    disease_side: int  # index of the worse hip
    joints: tuple[Joint, Joint] = (Joint(), Joint())


@dataclass(frozen=True)
class Pose:
    """Position of the patient; angles in radians."""

    tilt: float  # pelvic tilt: vertical stretch of the obturator ring
    turn: float  # rotation about the long axis: one wing and foramen wider, the other narrower
    magnification: Pair  # of the femoral heads, mean 1: the hip nearer to the tube is larger
    abduction: Pair
    rotation: Pair  # external rotation of the leg, 0..1: shows the lesser trochanter
    flexion: Pair = (0.0, 0.0)  # angle by which the neck follows less than the shaft if the thigh is turned out
    knee: Pair = (0.0, 0.0)  # bend of the knee in the plane of the film, inwards


def normal(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    """Draw from the normal distribution, truncated at `low` and `high`."""
    while not low <= (value := float(rng.normal(mean, sd))) <= high:
        pass
    return value


def draw_patient(rng: np.random.Generator, disease: float = 0.3) -> Patient:
    """Draw a patient; `disease` is the probability of osteoarthritis or a collapsed head."""
    sick = rng.random() < disease
    side = int(rng.integers(2))
    grades = np.where(np.arange(2) == side, rng.uniform(0.3, 1), rng.uniform(0, 0.6)) * sick
    collapse = np.where(np.arange(2) == side, rng.uniform(0, 1), 0) * (sick and rng.random() < 0.35)
    waves = np.column_stack([rng.normal(0, 1.3, (6, 2)), rng.uniform(0, 2 * np.pi, 6), rng.normal(0, 0.05, 6)])
    female = float(np.clip(rng.normal(rng.choice([0.2, 0.8]), 0.2), 0, 1))
    return Patient(
        female=female,
        half_distance=normal(rng, 1.88 + 0.08 * female, 0.07, 1.7, 2.05),
        height=float(rng.normal(1.04 - 0.06 * female, 0.05)),
        flare=float(rng.normal(0.97, 0.06)),
        girth=float(rng.uniform(3.7, 4.6) + rng.exponential(0.25)),
        fat=float(rng.uniform(0.9, 2.0)),
        density=float(rng.uniform(0.5, 1.1)),
        neck=float(rng.normal(1, 0.06)),
        valgus=float(rng.normal(0, 0.1)),
        osteoarthritis=(float(grades[0]), float(grades[1])),
        collapse=(float(collapse[0]), float(collapse[1])),
        scoliosis=float(rng.normal(0, 0.04)),
        waves=waves,
        disease_side=side,
    )


def draw_pose(rng: np.random.Generator) -> Pose:
    """Draw the pose of a supine patient."""
    near = float(np.clip(rng.normal(0, 0.012), -0.03, 0.03))
    abduction = rng.normal(0.02, 0.05, 2) + rng.normal(0, 0.04)
    rotation = np.clip(rng.uniform(-0.2, 1, 2), 0, 1)
    return Pose(
        tilt=float(np.clip(rng.normal(1, 0.13), 0.7, 1.35)),
        turn=float(np.clip(rng.normal(0, 0.05), -0.15, 0.15)),
        magnification=(1 + near, 1 - near),
        abduction=(float(abduction[0]), float(abduction[1])),
        rotation=(float(rotation[0]), float(rotation[1])),
    )


def hip_centres(patient: Patient) -> Points:
    """Centres of the sockets ``[2, 2]`` in head diameters, picture-left first; heads that aren't dislocated are there."""
    return np.array([[-patient.half_distance, 0.0], [patient.half_distance, 0.0]])


def head_centres(patient: Patient) -> Points:
    """Centres of the femoral heads ``[2, 2]`` in head diameters, picture-left first."""
    return hip_centres(patient) + np.array([joint.shift for joint in patient.joints])


def deform(patient: Patient, points: Points) -> Points:
    """Deform `points` ``[N, 2]`` by the patient's smooth waves, which vanish at the hip centres, so labels stay exact."""
    shift = np.zeros_like(points)
    for index, (kx, ky, phase, amplitude) in enumerate(patient.waves):
        shift[:, index % 2] += amplitude * np.sin(points @ (kx, ky) + phase)
    distance = np.linalg.norm(points[:, None] - hip_centres(patient)[None], axis=2).min(axis=1)
    return points + shift * (1 - np.exp(-((distance / 1.1) ** 4)))[:, None]


RATIO_MIN, RATIO_MAX = 0.10, 0.30  # side of the square ROI / long side of the film, the paper's range
Range = tuple[float, float]


@dataclass(frozen=True)
class Source:
    """Distributions of one source: uniform within a `Range`, probabilities between 0 and 1."""

    number: int  # part of every random seed
    films_per_patient: int
    ratio_mean: float
    ratio_sd: float
    ratio_uniform: float  # share of films whose ratio is uniform over the whole range
    aspect_mean: float  # height / width
    aspect_sd: float
    aspect_range: Range
    disease: float  # probability
    metal: float  # probability of metal in a hip, apart from cgoa's planned operations
    gamma: Range
    white: Range  # quantile of the body's optical depth that becomes white
    contrast_loss: Range  # grey of air, grey that white falls short of
    photons: Range  # logarithm (base 10) of the quanta per pixel behind air
    sharpen: Range
    collimation: float  # probability of shutters
    letters: float  # probability of lead letters
    web: bool = False  # captions, watermarks, arrows and JPEG artefacts


SOURCES = {
    "cgoa": Source(
        1, 2, 0.195, 0.028, 0.10, 0.82, 0.06, (0.453, 1.0), disease=0.65, metal=0.08, gamma=(0.8, 1.9),
        white=(0.985, 1.0), contrast_loss=(0.0, 0.06), photons=(3.8, 5.0), sharpen=(0.2, 1.2), collimation=0.6, letters=0.8,
    ),
    "oaih": Source(
        2, 2, 0.225, 0.025, 0.08, 0.87, 0.05, (0.75, 1.0), disease=0.5, metal=0.03, gamma=(0.9, 2.4),
        white=(0.9, 1.0), contrast_loss=(0.0, 0.2), photons=(3.6, 4.8), sharpen=(0.0, 0.5), collimation=0.25, letters=0.6,
    ),
    "gis": Source(
        3, 1, 0.2, 0.05, 0.4, 0.86, 0.08, (0.62, 1.0), disease=0.35, metal=0.15, gamma=(0.6, 2.6),
        white=(0.85, 1.0), contrast_loss=(0.0, 0.3), photons=(3.0, 4.8), sharpen=(0.0, 2.0), collimation=0.4, letters=0.5,
        web=True,
    ),
}  # fmt: skip


def draw_long_side(source: str, rng: np.random.Generator) -> int:
    """Draw a long side in pixels, with the median, mean, spread and extremes of the paper's Table 1."""
    if source == "cgoa":
        # the median, 2688, is the detector's own size
        return 2688 if rng.random() < 0.35 else round(normal(rng, 2610, 240, 1616, 4280))
    start, scale, spread, low, high = {"oaih": (450, 85, 0.78, 466, 1080), "gis": (224, 34, 1.95, 225, 4256)}[source]
    while not low <= (side := round(start + scale * float(np.exp(rng.normal(0, spread))))) <= high:
        pass
    return side


def draw_aspect(source: Source, rng: np.random.Generator) -> float:
    """Draw height / width: landscape to square."""
    if source.web and rng.random() < 0.25:
        return 1.0
    if source.aspect_range[0] < 0.6 and rng.random() < 0.03:  # a film cropped to the hips
        return float(rng.uniform(source.aspect_range[0], 0.7))
    return normal(rng, source.aspect_mean, source.aspect_sd, *source.aspect_range)


def draw_ratio(source: Source, rng: np.random.Generator) -> float:
    """Draw side of the ROI / long side of the film, in [0.10, 0.30]."""
    if rng.random() < source.ratio_uniform:
        return float(rng.uniform(RATIO_MIN, RATIO_MAX))
    return normal(rng, source.ratio_mean, source.ratio_sd, RATIO_MIN, RATIO_MAX)


TOTAL_HIP, HEMI, SLIDING_SCREW, SCREWS, NAIL = "total hip", "hemiprosthesis", "sliding screw", "screws", "nail"
METALS = (TOTAL_HIP, HEMI, SLIDING_SCREW, SCREWS, NAIL)
CEMENTED, CUP, RESURFACING, PLATE, LONG_NAIL = "cemented", "cup", "resurfacing", "plate", "long nail"
REPLACEMENTS = (TOTAL_HIP, HEMI, CEMENTED, CUP)  # the femoral head is removed
ROI_IN_HEADS = 1.8  # side of the square label in femoral head diameters
MARGIN = 0.004  # of the long side, between label and film edge


@dataclass(frozen=True)
class FilmPlan:
    """Everything about a film except its pixels."""

    source: str
    width: int
    height: int
    transform: Points  # [2, 3] body coordinates (head diameters) to film pixels
    hips: Boxes  # [N, 4] of the labelled hips
    kinds: tuple[str | None, str | None]  # metal in each hip, one of `METALS` or of those below
    name: str  # pseudonym of the patient
    patient: Patient
    pose: Pose
    seed: tuple[int, ...]  # of the rendering
    labelled: tuple[int, ...] = (0, 1)  # sides of `hips`: 0 picture-left, 1 picture-right
    ignored: tuple[tuple[float, ...], ...] = ()  # xyxy of hips that the film's edge cuts
    view: str = ""  # empty in sources whose tables have no views


def plan_film(source: str, index: int, seed: int = 0, max_side: int | None = None) -> FilmPlan:
    """Plan film `index` of `source`; the same arguments give the same plan, regardless of other films."""
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}, expected one of {', '.join(SOURCES)}")
    if index < 0 or seed < 0 or (max_side is not None and max_side < 32):
        raise ValueError(f"index {index}, seed {seed}, max_side {max_side}: expected at least 0, 0 and 32 px")
    look = SOURCES[source]
    number, visit = divmod(index, look.films_per_patient)
    patient_rng = np.random.default_rng([seed, look.number, 1, number])  # shared by the films of a patient
    rng = np.random.default_rng([seed, look.number, 2, index])
    patient = draw_patient(patient_rng, look.disease)
    kinds = _metal(look, visit, patient, patient_rng)
    ratio = draw_ratio(look, patient_rng) if visit == 0 or rng.random() < 0.8 else draw_ratio(look, rng)
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
        hips=label(patient, pose, transform),
        kinds=kinds,
        name=f"{source}_patient_{number + 1:05d}",
        patient=replace(patient, density=patient.density * float(rng.uniform(0.95, 1.05))),
        pose=pose,
        seed=(seed, look.number, 3, index),
    )


def _metal(look: Source, visit: int, patient: Patient, rng: np.random.Generator) -> tuple[str | None, str | None]:
    """Draw the metal in each hip; on the second film of a cgoa patient the worse hip is often replaced."""
    chances = rng.random(2)
    kinds = rng.choice(METALS, 2, p=(0.5, 0.2, 0.12, 0.1, 0.08))
    metal: list[str | None] = [str(kind) if chance < look.metal else None for kind, chance in zip(kinds, chances)]
    operated = rng.random() < 0.62
    if look is SOURCES["cgoa"] and operated:
        before = metal[patient.disease_side]
        metal[patient.disease_side] = TOTAL_HIP if visit else (None if before in REPLACEMENTS else before)
    return metal[0], metal[1]


def _framing(patient: Patient, pose: Pose, ratio: float, width: int, height: int, rng: np.random.Generator) -> Points:
    """Draw the affine ``[2, 3]`` from the body to the film; both labels lie inside the film."""
    spread = max(pose.magnification) - 1
    ratio = float(np.clip(ratio, RATIO_MIN / (1 - spread), RATIO_MAX / (1 + spread)))  # of both hips
    scale = ratio * max(width, height) / ROI_IN_HEADS  # pixels per head diameter
    angle = float(np.clip(rng.normal(0, 0.035), -0.12, 0.12))
    centred = placing((0, 0), scale=scale, angle=angle)
    boxes = label(patient, pose, centred)
    room = MARGIN * max(width, height)
    loose = 1 + 2 * (0.3 - ratio)  # small ROIs vary more in position
    wanted = np.array([width * rng.normal(0.5, 0.035 * loose), height * rng.normal(0.58, 0.06 * loose)])
    low = room - boxes[:, :2].min(axis=0)
    high = np.array([width, height]) - room - boxes[:, 2:].max(axis=0)
    centred[:, 2] = np.where(low <= high, np.clip(wanted, low, high), (low + high) / 2)
    return centred


def label(patient: Patient, pose: Pose, transform: Points) -> Boxes:
    """Squares ``[2, 4]``, 1.8 head diameters wide, about the head centres, in film pixels."""
    centres = affine(transform, head_centres(patient))
    scale = float(np.sqrt(np.linalg.det(transform[:, :2])))
    half = np.array(pose.magnification)[:, None] * scale * ROI_IN_HEADS / 2
    return np.concatenate([centres - half, centres + half], axis=1)
