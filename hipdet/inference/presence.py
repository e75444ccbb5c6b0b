"""From which score a detection is an ROI: the limit with the fewest mistakes on films that the model wasn't trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipdet.core.records import Record
from hipdet.evaluation.matching import HIT
from hipdet.inference.detections import FilmDetections

ENOUGH_HITS = 20  # of a class, for a limit of its own
FORGIVEN = 0.01  # of the hits may lie below a limit for nothing: a single odd film of a hundred doesn't set it
FEWEST_FILMS = 20  # a false ROI weighs as if at least so many films could have one: three films say little


@dataclass(frozen=True)
class ValidationFilm:
    """Detections on a film that the model wasn't trained on.

    Attributes:
        found: The detections, N of them.
        iou: IoU ``[N]`` of each detection with its label; 0 if it has none.
        present: Class indices of its labels; None for those of its hits.
        absence_known: Whether the film is known to have no other ROIs.
    """

    found: FilmDetections
    iou: NDArray[np.float64]
    present: frozenset[int] | None = None
    absence_known: bool = True

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Which detections ``[N]`` are hits."""
        hits: NDArray[np.bool_] = self.iou >= HIT
        return hits


@dataclass(frozen=True)
class Presence:
    """The presence limit of a class, and what it costs on the validation films.

    Attributes:
        limit: Score from which a detection is an ROI.
        hits: Number of hits.
        lost: Hits below the limit, which are only candidates.
        films: Number of films that lack the class, or have a detection of it that isn't a hit.
        false_films: Those with such a detection at or above the limit.
    """

    limit: float
    hits: int
    lost: int
    films: int
    false_films: int

    def words(self) -> str:
        """The limit and its cost in a line."""
        return (
            f"an ROI from a score of {self.limit:g}; below it are {self.lost} of {self.hits} hits, at or above it something "
            f"else on {self.false_films} of the {self.films} films that could have it"
        )

    @classmethod
    def from_json(cls, record: Record) -> Presence:
        """The inverse of ``dataclasses.asdict``.

        Raises:
            HipdetError: an entry is wrong.
        """
        names = ("hits", "lost", "films", "false_films")
        return cls(record.number("limit", 0, 1), *(record.whole(name, 0) for name in names))


@dataclass(frozen=True)
class _Cases:
    """Scores of the hits ``[H]``, of the best other detection of each film that has one ``[F]``, and the number of films."""

    hits: NDArray[np.float64]
    others: NDArray[np.float64]
    films: int

    @classmethod
    def of_class(cls, films: Sequence[ValidationFilm], label: int) -> _Cases:
        hits: list[float] = []
        others: list[float] = []
        count = 0
        for film in films:
            scores, own, hit = film.found.scores, film.found.labels == label, film.hits
            hits += scores[own & hit].tolist()
            other = scores[own & ~hit]
            if film.absence_known:
                others += [float(other.max())] if len(other) else []
                present = film.found.labels[hit].tolist() if film.present is None else film.present
                count += len(other) > 0 or (label >= 0 and label not in present)
        return cls(np.array(hits), np.array(others), count)

    @classmethod
    def together(cls, cases: Sequence[_Cases]) -> _Cases:
        hits, others = (np.concatenate(each) for each in zip(*((case.hits, case.others) for case in cases)))
        return cls(hits, others, sum(case.films for case in cases))

    def limit(self) -> float:
        return find_limit(self.hits, self.others, self.films)

    def at(self, limit: float) -> Presence:
        lost, false = int((self.hits < limit).sum()), int((self.others >= limit).sum())
        return Presence(limit, len(self.hits), lost, self.films, false)


def find_limit(hits: ArrayLike, others: ArrayLike, films: int, share: float = FORGIVEN) -> float:
    """The score with the fewest mistakes, in the middle of the scores that have as few; see docs/method.md, "Presence".

    A mistake is a hit below the limit, beyond a `share` of all hits, or a film with another detection at or above it.  A
    film weighs as much as the hits for each film: the hits together weigh as much as the films, if these are at least 20.
    At most half of the hits are below the limit.

    Args:
        hits: Their scores ``[H]``, at least one.
        others: Score ``[F]`` of the best detection that is no hit, of each film that has one.
        films: Number of films that could have one.
        share: Share of the hits that may be lost for nothing.
    """
    hits, others = np.sort(np.asarray(hits, np.float64)), np.sort(np.asarray(others, np.float64))
    ends = np.unique(np.concatenate([[0.0], hits, others, [1.0]]))  # no mistake changes between two of them
    lost = np.searchsorted(hits, ends[:-1], side="right")  # [ends - 1], for limits above each end up to the next one
    false = len(others) - np.searchsorted(others, ends[:-1], side="right")
    mistakes = np.maximum(lost - int(share * len(hits)), 0) + false * len(hits) / max(films, FEWEST_FILMS)
    mistakes[lost > len(hits) / 2] = np.inf
    fewest = np.concatenate([[False], mistakes <= mistakes.min() + 1e-9, [False]]).astype(int)
    low, high = ends[np.flatnonzero(np.diff(fewest) > 0)], ends[np.flatnonzero(np.diff(fewest) < 0)]
    widest = int(np.argmax(high - low))
    return round(float(low[widest] + high[widest]) / 2, 3)


def presence_limits(films: Sequence[ValidationFilm], classes: Sequence[str]) -> tuple[float, dict[str, Presence]]:
    """The limit for all classes together, and that of each: its own if it has 20 hits or more, else the common one.

    Args:
        films: Films with at least one hit.
        classes: Class names in the order of the model's labels; of unnamed ones only the common limit is returned.
    """
    seen = chain.from_iterable([*film.found.labels.tolist(), *(film.present or ())] for film in films)
    cases = {label: _Cases.of_class(films, label) for label in sorted({*seen, *range(len(classes))})}
    common = _Cases.together(list(cases.values())).limit()
    return common, {
        name: cases[label].at(cases[label].limit() if len(cases[label].hits) >= ENOUGH_HITS else common)
        for label, name in enumerate(classes)
    }


def least_scores(common: float, presence: Mapping[str, Presence], classes: Sequence[str]) -> NDArray[np.float64]:
    """The presence limit of each class ``[C]``; `common` where `presence` lacks it."""
    return np.array([presence[name].limit if name in presence else common for name in classes])
