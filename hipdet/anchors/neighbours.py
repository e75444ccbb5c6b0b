"""Sets of anchors beside the recommended one, and why they were rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.candidates import Candidate
from hipdet.anchors.choose_scales import ScaleChooser
from hipdet.anchors.figures import AnchorFigures
from hipdet.anchors.goal import EQUAL, FITTED, Goal
from hipdet.anchors.rois import Rois

PAPER = AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3)  # experiment 3


@dataclass(frozen=True)
class Neighbour:
    """A rejected set: in what it differs, its figures on all ROIs, and why it isn't recommended."""

    change: str
    anchors: AnchorSet
    figures: AnchorFigures
    why: str

    def as_json(self) -> dict[str, Any]:
        """For ``anchor_plan.json``."""
        return asdict(self)


def neighbours_of(rois: Rois, chosen: Candidate, candidates: Sequence[Candidate], goal: Goal) -> Iterator[Neighbour]:
    """The sets one step beside `chosen`, each once."""
    seen = {chosen.anchors}
    for change, anchors in _changes(rois, chosen, candidates, goal):
        if anchors is not None and anchors not in seen:
            seen.add(anchors)
            its_goal = replace(goal, scales=FITTED) if change == f"{FITTED} scales" else goal
            rejected = Candidate.of(rois, anchors)
            yield Neighbour(change, anchors, rejected.figures, _why(rejected, chosen, its_goal))


def _changes(
    rois: Rois, chosen: Candidate, candidates: Sequence[Candidate], goal: Goal
) -> Iterator[tuple[str, AnchorSet | None]]:
    grids, scales, aspects = chosen.anchors.grids, chosen.anchors.scales, chosen.anchors.aspects
    ranked = sorted(
        (candidate.anchors for candidate in candidates), key=lambda anchors: (anchors.grids[0], anchors.grids)
    )
    place = ranked.index(chosen.anchors)
    yield "coarser grid", ranked[place - 1] if place else None
    yield "finer grid", ranked[place + 1] if place + 1 < len(ranked) else None
    chooser = ScaleChooser(rois, goal)
    for change, count in (("one scale fewer", len(scales) - 1), ("one scale more", len(scales) + 1)):
        found = chooser.scales(grids, count) if count else ()
        yield change, AnchorSet(grids, found, aspects) if found and len(found) == count else None
    other = FITTED if goal.scales == EQUAL else EQUAL
    yield f"{other} scales", ScaleChooser(rois, replace(goal, scales=other)).fewest(grids, aspects)
    if aspects != (1.0,):
        yield "square anchors", AnchorSet(grids, scales)
    yield "the paper's experiment 3", PAPER


def _why(rejected: Candidate, chosen: Candidate, goal: Goal) -> str:
    short = rejected.shortfalls(goal)
    if short:
        return "; ".join(short)
    count, own = rejected.anchors.per_image, chosen.anchors.per_image
    if count < own:
        remark = (
            ", but tuned to these films: take it (--scales fitted) if others are alike" if goal.scales == FITTED else ""
        )
        return f"reaches the goal with fewer anchors{remark}"
    words = f"reaches the goal too, with {count / own:.1f} times the anchors" if count > own else "reaches the goal too"
    if rejected.figures.matched > chosen.figures.matched + 0.05:
        words += f"; it would overlap {rejected.figures.matched:.0%} of the ROIs and not {chosen.figures.matched:.0%}"
    return words
