"""Films and boxes that are labelled twice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hipdet.labels.record import Box, FilmLabels


def repeat_faults(films: Iterable[FilmLabels], shown: dict[Path, str]) -> list[str]:
    """A fault for every film that stands twice, per annotator, and every box that stands twice in a film.

    Names of films are taken as relative to the folder of their label file: the same name in two folders is two films.
    """
    faults = []
    first: dict[object, FilmLabels] = {}
    for film in films:
        key = (film.file.parent, film.relative or film.film, film.annotator)
        before = first.setdefault(key, film)
        if before is not film:
            where, there = (": ".join(filter(None, (shown[each.file], each.place))) for each in (film, before))
            by = f" by annotator {film.annotator}" if film.annotator is not None else ""
            faults.append(f"{where}: {film.film} is labelled{by} in {there} too, expected once: remove one")
        seen: dict[tuple[Box, str | None], str] = {}
        for box in (*film.boxes, *film.ignored):
            place = seen.setdefault((box.box, box.label), box.place)
            if place != box.place:
                faults.append(f"{shown[film.file]}: {box.place}: the same box of {film.film} is {place}: remove one")
    return faults
