"""A finished synthetic film with its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipdet.boxes import Boxes
from hipdet.phantom.depth import expose
from hipdet.phantom.exposure import develop
from hipdet.phantom.marks import mark
from hipdet.phantom.plan import Plan, plan_film
from hipdet.phantom.sources import SOURCES


@dataclass(frozen=True)
class PhantomFilm:
    """An anteroposterior pelvis film with exactly known hips."""

    pixels: NDArray[np.uint8]  # [H, W] grey, bone bright
    hips: Boxes  # [2, 4] xyxy squares inside the film, picture-left hip first
    implants: tuple[bool, bool]  # metal (joint replacement or fixation) in either hip
    patient: str  # films with the same name share the anatomy


def make_film(source: str, index: int, seed: int = 0, max_side: int | None = None) -> PhantomFilm:
    """Film `index` (from 0) of `source` (cgoa, oaih, gis); the same arguments give the same pixels.

    A film whose long side exceeds `max_side` pixels is rendered at that long side, with the geometry scaled.
    """
    return render(plan_film(source, index, seed, max_side))


def render(plan: Plan) -> PhantomFilm:
    """The film that `plan` describes."""
    rng = np.random.default_rng(plan.seed)
    look = SOURCES[plan.source]
    pixels = develop(expose(plan, rng), look, (plan.height, plan.width), rng)
    pixels = mark(pixels, plan, look, rng)
    return PhantomFilm(pixels, plan.hips, (plan.kinds[0] is not None, plan.kinds[1] is not None), plan.name)
