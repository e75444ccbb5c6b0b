"""Label files one by one: a fault ends its file, not the reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hipdet.labels.fault import Faults
from hipdet.labels.label_file import LabelFile
from hipdet.labels.record import FilmLabels


def films_of_each(
    files: Sequence[LabelFile], faults: Faults, read: Callable[[LabelFile], Iterable[FilmLabels]]
) -> list[FilmLabels]:
    """The films that `read` finds in each of `files`; its faults go to `faults`."""
    films: list[FilmLabels] = []
    for file in files:
        with faults.at(file.shown):
            films += read(file)
    return films
