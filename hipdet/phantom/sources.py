"""The three sources of Table 1: how large their films are, how large the hips on them, and what the films look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hipdet.phantom.patient import normal

RATIO_MIN, RATIO_MAX = 0.10, 0.30  # side of the square ROI / long side of the film, the paper's range
Range = tuple[float, float]


@dataclass(frozen=True)
class Source:
    """Distributions of one source; a `Range` is drawn from uniformly, a chance lies between 0 and 1."""

    number: int  # part of every random seed
    films_per_patient: int
    ratio_mean: float
    ratio_sd: float
    ratio_uniform: float  # share of films whose ratio is uniform over the whole range
    aspect_mean: float  # height / width
    aspect_sd: float
    aspect_range: Range
    disease: float
    metal: float  # chance that a hip holds metal, beyond planned operations
    gamma: Range
    white: Range  # quantile of the body's optical depth that becomes white
    contrast_loss: Range  # grey of air, grey missing at white
    photons: Range  # logarithm (base 10) of the quanta in a pixel behind air
    sharpen: Range
    collimation: float
    letters: float
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
    """Long side in pixels with the median, mean, spread and extremes of Table 1."""
    if source == "cgoa":
        # the median, 2688, is the detector's own size
        return 2688 if rng.random() < 0.35 else round(normal(rng, 2610, 240, 1616, 4280))
    start, scale, spread, low, high = {"oaih": (450, 85, 0.78, 466, 1080), "gis": (224, 34, 1.95, 225, 4256)}[source]
    while not low <= (side := round(start + scale * float(np.exp(rng.normal(0, spread))))) <= high:
        pass
    return side


def draw_aspect(source: Source, rng: np.random.Generator) -> float:
    """Height / width: landscape up to square."""
    if source.web and rng.random() < 0.25:
        return 1.0
    if source.aspect_range[0] < 0.6 and rng.random() < 0.03:  # a film cropped to the hips
        return float(rng.uniform(source.aspect_range[0], 0.7))
    return normal(rng, source.aspect_mean, source.aspect_sd, *source.aspect_range)


def draw_ratio(source: Source, rng: np.random.Generator) -> float:
    """Side of the ROI / long side of the film, in [0.10, 0.30]."""
    if rng.random() < source.ratio_uniform:
        return float(rng.uniform(RATIO_MIN, RATIO_MAX))
    return normal(rng, source.ratio_mean, source.ratio_sd, RATIO_MIN, RATIO_MAX)
