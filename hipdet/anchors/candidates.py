"""The smallest set on every grid, and which of them reach the goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.choose_scales import ScaleChooser
from hipdet.anchors.cover import tightest_cover
from hipdet.anchors.figures import FIT, ROUNDING, AnchorFigures, figures
from hipdet.anchors.goal import EQUAL, Goal
from hipdet.anchors.overlap import MATCH
from hipdet.anchors.rois import Rois

MOST_ASPECTS = 6
SQUARE = 1.05  # aspects within this factor of 1 count as 1:1


@dataclass(frozen=True)
class Candidate:
    """A set of anchors and its figures on all ROIs."""

    anchors: AnchorSet
    figures: AnchorFigures

    @classmethod
    def of(cls, rois: Rois, anchors: AnchorSet) -> Candidate:
        """`anchors` on `rois`."""
        return cls(anchors, figures(rois, anchors))

    def shortfalls(self, goal: Goal) -> list[str]:
        """What keeps it from `goal`, in words; nothing where it reaches it."""
        words, found = [], self.figures
        if found.fitted < goal.coverage:
            words.append(f"only {found.fitted:.1%} of the ROIs have an anchor of their size (goal {goal.coverage:.0%})")
        if goal.scales == EQUAL and self.anchors.worst_fit < FIT - ROUNDING:
            words.append(
                f"sizes between two of its anchors fit them by IoU {self.anchors.worst_fit:.2f} only (goal {FIT})"
            )
        if found.matched < goal.matched:
            words.append(
                f"its anchors overlap only {found.matched:.0%} of the ROIs by IoU {MATCH} or more; the others are matched by "
                f"force (goal {goal.matched:.0%})"
            )
        if found.contested > goal.contested:
            words.append(
                f"{found.contested:.1%} of the ROIs want the same anchor as another ROI of the film "
                f"(at most {goal.contested:.0%})"
            )
        if min(self.anchors.grids) < goal.coarsest:
            words.append("it lies behind stride-2 convolutions of the head, which cost accuracy")
        return words


def smallest_per_grid(rois: Rois, goal: Goal) -> list[Candidate]:
    """For each of the goal's grids the set with the fewest anchors that gives the ROIs anchors of their size, if any does."""
    chooser, choices = ScaleChooser(rois, goal), aspect_choices(rois, goal)
    found = []
    for grids in goal.grids:
        reaching = [anchors for aspects in choices if (anchors := chooser.fewest(grids, aspects)) is not None]
        if reaching:
            found.append(Candidate.of(rois, min(reaching, key=lambda anchors: anchors.per_image)))
    return found


def aspect_choices(rois: Rois, goal: Goal) -> list[tuple[float, ...]]:
    """1:1, and 1, 2, ... aspects fitted to the data where it isn't square."""
    choices: list[tuple[float, ...]] = [(1.0,)]
    logs = np.log(rois.sketch.aspects)
    for count in range(1, MOST_ASPECTS + 1):
        middles = np.exp(tightest_cover(logs, goal.coverage, count))
        aspects = tuple(sorted({1.0 if 1 / SQUARE <= value <= SQUARE else float(f"{value:.2g}") for value in middles}))
        if aspects not in choices:
            choices.append(aspects)
    return choices


def choose(candidates: list[Candidate], goal: Goal) -> Candidate:
    """The smallest that reaches the goal; where none does, the one that falls short in the fewest points, then by least."""

    def order(candidate: Candidate) -> tuple[float, ...]:
        short = len(candidate.shortfalls(goal))
        return short, (1 - candidate.figures.matched) if short else 0, candidate.anchors.per_image

    return min(candidates, key=order)
