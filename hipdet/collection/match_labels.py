"""Which labels are of which film.

Labels come from other machines and tools: the folders before a film's name may differ, and so may its extension, where
films were exported for labelling.  So films are found by name, then by name without extension; where several films
have it, by the folders before it, compared from the last one up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Generic, Protocol, TypeVar

from hipdet.collection.candidate import Candidate, Exclusion
from hipdet.labels import FilmLabels

# what a film's file may be called in place of its own extension; "a.b" has none
_EXTENSION = re.compile(r"\.(jpe?g|png|tiff?|bmp|dcm|dicom|gif|webp)$", re.IGNORECASE)


class Named(Protocol):
    """What labels are matched with."""

    @property
    def name(self) -> str:
        """Path below the root of the data set."""

    @property
    def other_names(self) -> tuple[str, ...]:
        """What label files may call it beside the last part of its name."""


Film = TypeVar("Film", bound=Named)


@dataclass
class Matches:
    """Labels by film, labels of films that aren't there, and those that fit several films."""

    of_film: dict[str, list[FilmLabels]] = field(default_factory=lambda: defaultdict(list))
    without_film: list[FilmLabels] = field(default_factory=list)
    faults: list[Exclusion] = field(default_factory=list)


class FilmIndex(Generic[Film]):
    """Films by what labels may call them."""

    def __init__(self, films: Iterable[Film]) -> None:
        self._by_name: dict[str, list[Film]] = defaultdict(list)
        self._by_stem: dict[str, list[Film]] = defaultdict(list)
        for film in films:
            names = {PurePosixPath(film.name).name, *film.other_names}
            for name in names:
                self._by_name[name].append(film)
            for stem in {_stem(name) for name in names}:
                self._by_stem[stem].append(film)

    def find(self, film: str, folder: Sequence[str] = ()) -> list[Film]:
        """The films that a label file means by `film`: one, none, or several that it can't tell apart.

        Args:
            film: Name or path in the label file.
            folder: Parts of the path of the label file's own folder.
        """
        parts = [*folder, *PureWindowsPath(film).parts]  # reads both kinds of slashes
        found = self._by_name.get(parts[-1]) or self._by_stem.get(_stem(parts[-1]), [])
        if len(found) < 2:
            return found
        shared = [_shared_folders(PurePosixPath(each.name).parts[:-1], parts[:-1]) for each in found]
        return [each for each, count in zip(found, shared) if count == max(shared)]


def match_labels(labels: Iterable[FilmLabels], films: FilmIndex[Candidate], excluded: FilmIndex[Exclusion]) -> Matches:
    """Sort `labels` by the film they are of; those of a film in `excluded` are left out."""
    matches = Matches()
    for each in labels:
        folder = each.file.parent.parts
        found = films.find(each.film, folder)
        if len(found) > 1:
            names = ", ".join(candidate.name for candidate in found[:3])
            reason = f"{each.file.name}: label fits {len(found)} films ({names}): name its folder too"
            matches.faults.append(Exclusion(each.film, reason))
        elif found:
            matches.of_film[found[0].name].append(each)
        elif not excluded.find(each.film, folder):
            matches.without_film.append(each)
    return matches


def _stem(name: str) -> str:
    return _EXTENSION.sub("", name)


def _shared_folders(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders agree, from the last one up."""
    count = 0
    for a, b in zip(reversed(one), reversed(other)):
        if a != b:
            break
        count += 1
    return count
