"""Why these anchors, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from hipdet.anchors.candidates import SQUARE, Candidate
from hipdet.anchors.choose_scales import ScaleChooser
from hipdet.anchors.figures import FIT
from hipdet.anchors.goal import EQUAL, Goal
from hipdet.anchors.overlap import MATCH
from hipdet.anchors.rois import Rois


def reasons_for(rois: Rois, chosen: Candidate, candidates: Sequence[Candidate], goal: Goal) -> Iterator[str]:
    """Sentences about sizes, aspects, grid and scales."""
    tails = [(1 - goal.coverage) / 2, (1 + goal.coverage) / 2]
    low, high = np.quantile(rois.sizes, tails)
    yield f"{goal.coverage:.0%} of the ROIs take {low:.1%} to {high:.1%} of the long side of their film."
    yield _of_aspects(rois, chosen, tails)
    yield _of_grid(chosen, candidates, goal)
    yield _of_scales(rois, chosen, goal)


def _of_aspects(rois: Rois, chosen: Candidate, tails: list[float]) -> str:
    low, high = np.quantile(rois.aspects, tails)
    found = (
        "They are square"
        if 1 / SQUARE <= low <= high <= SQUARE
        else f"They are {low:.2f} to {high:.2f} times as high as wide"
    )
    aspects = chosen.anchors.aspects
    if aspects == (1.0,):
        return f"{found}: square anchors fit."
    return f"{found}: {'one aspect' if len(aspects) == 1 else f'{len(aspects)} aspects'}, {_listed(aspects)}, " + (
        "fits." if len(aspects) == 1 else "fit."
    )


def _of_grid(chosen: Candidate, candidates: Sequence[Candidate], goal: Goal) -> str:
    matched = f"{chosen.figures.matched:.0%} of the ROIs by IoU {MATCH} or more (goal {goal.matched:.0%})"
    words = f"{_grid(chosen)}: its anchors overlap {matched}"
    coarser = [each for each in candidates if each.anchors.grids < chosen.anchors.grids]
    if not coarser:
        return f"{words}; there is no coarser grid to choose."
    last = max(coarser, key=lambda each: each.anchors.grids)
    return f"{words}. {_grid(last)}, the next coarser: {'; '.join(last.shortfalls(goal)) or 'has more anchors'}."


def _of_scales(rois: Rois, chosen: Candidate, goal: Goal) -> str:
    scales, figures = chosen.anchors.scales, chosen.figures
    kind = "in equal steps" if goal.scales == EQUAL else "fitted to the sizes"
    count = (
        f"{len(scales)} scales {kind}, {scales[0]} to {scales[-1]} cells,"
        if len(scales) > 1
        else f"One scale, {scales[0]} cells,"
    )
    words = (
        f"{count} make anchors of {figures.smallest:.1%} to {figures.largest:.1%} of the film; {figures.fitted:.1%} of the "
        f"ROIs have one of their size (IoU {FIT} or more if centred; goal {goal.coverage:.0%})"
    )
    fewer = ScaleChooser(rois, goal).scales(chosen.anchors.grids, len(scales) - 1) if len(scales) > 1 else ()
    if not fewer:
        return f"{words}."
    short = Candidate.of(rois, replace(chosen.anchors, scales=fewer)).shortfalls(goal)
    return f"{words}. With {len(fewer)}: {short[0]}." if short else f"{words}."


def _grid(candidate: Candidate) -> str:
    return f"Grid {' and '.join(map(str, candidate.anchors.grids))}"


def _listed(values: Sequence[float]) -> str:
    return " and ".join(f"{value:g}" for value in values)
