"""Whether an exported file finds what the detector that it comes from finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from hipdet.inference.film_sources import film_sources
from hipdet.inference.reading import Reading
from hipdet.phantom import SOURCES, make_film
from hipdet.phantom.chest import CLASSES as CHEST_CLASSES
from hipdet.phantom.chest import plan_chest, render_chest
from hipdet.roi_counts import RoiCounts

FILM_SIDE = 512  # px of the films that are drawn
HIPS = {"hip", "left hip", "right hip"}
CHESTS = {*CHEST_CLASSES, "left lung", "right lung"}
PELVES, CHEST_FILMS, NOISE = "pelvis phantoms", "chest phantoms", "noise"
Film = NDArray[np.uint8]


class Difference(NamedTuple):
    """The largest differences of the ROIs that a film has: of a box in pixels of the film, and of a score.

    Infinite where one side lacks a ROI of that class.
    """

    box: float
    score: float


def difference(expected: Reading, found: Reading, counts: RoiCounts) -> Difference:
    """Pair the ROIs that the film has by either side with the other's, within their class, one to one.

    The other side's are all that it found: of two with nearly equal scores either may be the better one.
    """
    one_way, other_way = _unpaired(expected, found, counts), _unpaired(found, expected, counts)
    return Difference(max(one_way.box, other_way.box), max(one_way.score, other_way.score))


def _unpaired(of: Reading, among: Reading, counts: RoiCounts) -> Difference:
    best = counts.best(of.scores, of.labels)
    largest = Difference(0.0, 0.0)
    for label in np.unique(of.labels[best]):
        mine, theirs = best[of.labels[best] == label], np.flatnonzero(among.labels == label)
        if len(theirs) < len(mine):
            return Difference(float("inf"), float("inf"))
        boxes = np.abs(of.boxes[mine, None] - among.boxes[None, theirs]).max(axis=2)
        rows, columns = linear_sum_assignment(boxes)
        scores = np.abs(of.scores[mine[rows]] - among.scores[theirs[columns]])
        largest = Difference(max(largest.box, boxes[rows, columns].max()), max(largest.score, scores.max()))
    return largest


def films_to_compare(films: Sequence[str], classes: Sequence[str]) -> tuple[int | None, Iterator[Film], str]:
    """Films by what users ask for: a number of drawn ones, or paths.

    Args:
        films: One whole number, or paths, folders and patterns.
        classes: Names; they decide what is drawn.

    Returns:
        How many where that is known, the films ``[H, W]``, and what they are.
    """
    if len(films) != 1 or not films[0].isdigit():
        return None, (source.read().pixels for source in film_sources([Path(name) for name in films])), "films"
    count = int(films[0])
    kind = PELVES if HIPS.issuperset(classes) else CHEST_FILMS if CHESTS.issuperset(classes) else NOISE
    return count, drawn(kind, count), kind


def drawn(kind: str, count: int) -> Iterator[Film]:
    """Films of a `kind`, always the same ones."""
    sources = sorted(SOURCES)
    for number in range(count):
        if kind == PELVES:
            yield make_film(sources[number % len(sources)], number, seed=1, max_side=FILM_SIDE).pixels
        elif kind == CHEST_FILMS:
            yield render_chest(plan_chest(number, seed=1, max_side=FILM_SIDE))
        else:
            yield noise(number)


def noise(number: int) -> Film:
    """Squares of random grey, larger ones and smaller ones: a network finds something everywhere, and no two places alike."""
    rng = np.random.default_rng([1, number])
    height = FILM_SIDE - 64 * int(rng.integers(0, 3))
    layers = [
        np.kron(rng.integers(0, 255 // 3, (-(-height // size), FILM_SIDE // size)), np.ones((size, size), int))[:height]
        for size in (64, 16, 8)
    ]
    return np.sum(layers, axis=0).astype(np.uint8)


def with_bar(films: Iterable[Film], count: int | None) -> Iterator[Film]:
    """`films` with a progress bar."""
    yield from tqdm(films, total=count, desc="comparing with torch", unit="film", disable=None)
