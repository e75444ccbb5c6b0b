"""The smallest set of anchors on each grid, the one that reaches a plan's goal, and why similar sets are rejected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hipdet.anchors.anchor_set import AnchorSet
from hipdet.anchors.coverage import FIT, MATCH, ROUNDING, AnchorMetrics, fitted_share, may_fit, tightest_cover
from hipdet.anchors.rois import SUBSAMPLE, Floats, Rois
from hipdet.core.errors import ConfigError

EQUAL, FITTED = "equal", "fitted"
MOST_SCALES = 32
STEP = 0.05  # scales are multiples of it, as in the paper; finer below half a cell
ONE_SIZE = 1.02  # largest / smallest ROI that one scale covers
MOST_ASPECTS = 6
SQUARE = 1.05  # aspects within this factor of 1 count as 1:1
PAPER = AnchorSet.equal_steps((7,), 0.7, 2.2, 0.3)  # experiment 3


@dataclass(frozen=True)
class Goal:
    """What the anchors must reach.  Shares are of ROIs, between 0 and 1.

    Attributes:
        coverage: Share that must have an anchor of its size.
        matched: Share that must be matched by overlap and not by force.  With ratios uniform over 10% .. 30%, the paper's
            experiment 3 has .77 and its experiment 1, which was worse, .42; the default lies in between.
        contested: Largest share that may have the same best anchor as another ROI of the film.
        crowded: Share of these from which there is a warning.
        scales: ``equal`` steps that span the sizes, as in the paper, or ``fitted`` to the sizes.
        coarsest: Coarsest grid to recommend: the backbone's own.  Further stride-2 convolutions made detectors worse:
            the paper's experiment 1, and chest phantoms (docs/results/anchors.md).
        grids: Grids to choose from, each with several numbers for several maps together; empty for all that a ResNet has.
    """

    coverage: float = 0.99
    matched: float = 0.5
    contested: float = 0.02
    crowded: float = 0.005
    scales: str = EQUAL
    coarsest: int = 1
    grids: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("coverage", "matched", "contested", "crowded"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}: expected a share from 0 to 1")
        if self.scales not in (EQUAL, FITTED):
            raise ConfigError(f"scales {self.scales!r}: expected {EQUAL!r} or {FITTED!r}")


class ScaleChooser:
    """Chooses scales for `rois`, for any grids and aspects.

    Args:
        rois: At least one ROI.
        goal: Equal steps or fitted scales, and the share of ROIs that must have an anchor of its size.
    """

    def __init__(self, rois: Rois, goal: Goal) -> None:
        self.rois = rois
        self.goal = goal
        self._subsample = rois.subsample
        tails = [(1 - goal.coverage) / 2, (1 + goal.coverage) / 2]
        self._span = tuple(map(float, np.quantile(rois.sizes, tails)))
        self._fitted: dict[int, Floats] = {}

    def fewest(self, grids: tuple[int, ...], aspects: tuple[float, ...]) -> AnchorSet | None:
        """The smallest set on `grids` with `aspects` that gives the goal's share an anchor of its size, if there is one.

        Equal steps must also leave no gap between two sizes, even where this data set has no ROI.
        """
        if may_fit(self.rois, aspects) < self.goal.coverage:
            return None
        for anchors in self.growing(grids, aspects):
            if self.goal.scales == EQUAL and anchors.worst_fit < FIT - ROUNDING:
                continue
            # the subsample may be off by some ROIs; the whole set decides
            nearly = fitted_share(self._subsample, anchors) >= self.goal.coverage - 10 / SUBSAMPLE
            if nearly and fitted_share(self.rois, anchors) >= self.goal.coverage:
                return anchors
        return None

    def growing(self, grids: tuple[int, ...], aspects: tuple[float, ...]) -> Iterator[AnchorSet]:
        """Sets with an increasing number of scales."""
        for count in range(1, MOST_SCALES + 1):
            scales = self.scales(grids, count)
            if scales:
                yield AnchorSet(grids, scales, aspects)

    def scales(self, grids: tuple[int, ...], count: int) -> tuple[float, ...]:
        """`count` scales for `grids`; empty if so few equal steps can't span the sizes."""
        if self.goal.scales == EQUAL:
            low, high = self._span[0] * max(grids), self._span[1] * min(grids)
            # with several maps, the finest map's largest anchors must reach the coarsest map's smallest
            meeting = low * max(grids) / min(grids) if len(grids) > 1 else 0.0
            return equal_steps(low, max(high, meeting), count)
        if count not in self._fitted:
            self._fitted[count] = np.exp(tightest_cover(np.log(self._subsample.sizes), self.goal.coverage, count))
        return fitted_scales(self._fitted[count], grids)


def equal_steps(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` round scales in cells, in equal steps, from at most `low` to at least `high` (paper, Table 2)."""
    if count == 1:
        return (_round_number(math.sqrt(low * high)),) if high <= ONE_SIZE * low else ()
    unit = STEP if low >= 10 * STEP else 10.0 ** (math.floor(math.log10(low)) - 1)
    start = math.floor(low / unit + 1e-6) * unit
    step = max(math.ceil((high - start) / (count - 1) / unit - 1e-6), 1) * unit
    return tuple(_round_number(start + step * index) for index in range(count))


def fitted_scales(sizes: Floats, grids: tuple[int, ...]) -> tuple[float, ...]:
    """Scales for `sizes` (sides in units of the image); with several grids, the coarsest takes sizes above the middle."""
    middle = math.sqrt(float(sizes.min() * sizes.max()))
    grid = np.where(sizes > middle, min(grids), max(grids))
    return tuple(sorted({_round_number(float(scale)) for scale in sizes * grid}))


def _round_number(value: float) -> float:
    """`value` rounded to four significant digits."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class AnchorCandidate:
    """A set of anchors and its metrics on all ROIs."""

    anchors: AnchorSet
    metrics: AnchorMetrics

    def shortfalls(self, goal: Goal) -> list[str]:
        """How it falls short of `goal`, in words; empty if it reaches the goal."""
        words, found = [], self.metrics
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
                f"{found.contested:.1%} of the ROIs have the same best anchor as another ROI of the film "
                f"(at most {goal.contested:.0%})"
            )
        if min(self.anchors.grids) < goal.coarsest:
            words.append("it needs stride-2 convolutions in the head, which cost accuracy")
        return words


def smallest_per_grid(rois: Rois, goal: Goal) -> list[AnchorCandidate]:
    """For each of the goal's grids, the set with the fewest anchors that gives the ROIs anchors of their size, if any."""
    chooser, choices = ScaleChooser(rois, goal), aspect_choices(rois, goal)
    found = []
    for grids in goal.grids:
        reaching = [anchors for aspects in choices if (anchors := chooser.fewest(grids, aspects)) is not None]
        if reaching:
            smallest = min(reaching, key=lambda anchors: anchors.per_image)
            found.append(AnchorCandidate(smallest, AnchorMetrics.of(rois, smallest)))
    return found


def aspect_choices(rois: Rois, goal: Goal) -> list[tuple[float, ...]]:
    """Sets of aspects to try: 1:1, and 1, 2, ... aspects fitted to ROIs that aren't square."""
    choices: list[tuple[float, ...]] = [(1.0,)]
    logs = np.log(rois.subsample.aspects)
    for count in range(1, MOST_ASPECTS + 1):
        middles = np.exp(tightest_cover(logs, goal.coverage, count))
        aspects = tuple(sorted({1.0 if 1 / SQUARE <= value <= SQUARE else float(f"{value:.2g}") for value in middles}))
        if aspects not in choices:
            choices.append(aspects)
    return choices


def choose(candidates: list[AnchorCandidate], goal: Goal) -> AnchorCandidate:
    """The smallest candidate that reaches the goal; if none does, the one with fewest shortfalls, then most matched ROIs."""

    def order(candidate: AnchorCandidate) -> tuple[float, ...]:
        short = len(candidate.shortfalls(goal))
        return short, (1 - candidate.metrics.matched) if short else 0, candidate.anchors.per_image

    return min(candidates, key=order)


@dataclass(frozen=True)
class Neighbour:
    """A rejected set: how it differs, its metrics on all ROIs, and why it isn't recommended."""

    change: str
    anchors: AnchorSet
    metrics: AnchorMetrics
    why: str


def list_neighbours(
    rois: Rois, chosen: AnchorCandidate, candidates: Sequence[AnchorCandidate], goal: Goal
) -> Iterator[Neighbour]:
    """The sets that differ from `chosen` by one step, each once."""
    seen = {chosen.anchors}
    for change, anchors in _changes(rois, chosen, candidates, goal):
        if anchors is not None and anchors not in seen:
            seen.add(anchors)
            its_goal = replace(goal, scales=FITTED) if change == f"{FITTED} scales" else goal
            rejected = AnchorCandidate(anchors, AnchorMetrics.of(rois, anchors))
            yield Neighbour(change, anchors, rejected.metrics, _why(rejected, chosen, its_goal))


def _changes(
    rois: Rois, chosen: AnchorCandidate, candidates: Sequence[AnchorCandidate], goal: Goal
) -> Iterator[tuple[str, AnchorSet | None]]:
    grids, scales, aspects = chosen.anchors.grids, chosen.anchors.scales, chosen.anchors.aspects
    ranked = sorted((each.anchors for each in candidates), key=lambda anchors: (anchors.grids[0], anchors.grids))
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


def _why(rejected: AnchorCandidate, chosen: AnchorCandidate, goal: Goal) -> str:
    if short := rejected.shortfalls(goal):
        return "; ".join(short)
    count, own = rejected.anchors.per_image, chosen.anchors.per_image
    if count < own:
        tuned = ", but tuned to these films: use it (--scales fitted) if other films are similar"
        return f"reaches the goal with fewer anchors{tuned if goal.scales == FITTED else ''}"
    words = f"reaches the goal too, with {count / own:.1f} times the anchors" if count > own else "reaches the goal too"
    if rejected.metrics.matched > chosen.metrics.matched + 0.05:
        words += (
            f"; it would overlap {rejected.metrics.matched:.0%} of the ROIs instead of {chosen.metrics.matched:.0%}"
        )
    return words
