"""Which films are drawn, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from hipdet.errors import DatasetError
from hipdet.visualization.pictured_film import PicturedFilm


def worst_first(films: Sequence[PicturedFilm]) -> list[PicturedFilm]:
    """The lowest IoU first; where nothing was compared, films without detections, the most flags, then the lowest score."""
    return sorted(films, key=_badness)


def _badness(film: PicturedFilm) -> tuple[float, int, float, str]:
    score = -1.0 if film.score is None else film.score
    iou = -1.0 if film.iou is None and film.score is None else film.iou or 0.0
    return iou, -len(film.flags), score, film.file_name


def below(films: Sequence[PicturedFilm], iou: float) -> list[PicturedFilm]:
    """Films with an ROI whose IoU is below `iou`.

    Raises:
        DatasetError: films that were compared with no label.
    """
    if films and all(film.iou is None for film in films):
        raise DatasetError(f"--below {iou} needs labels to compare with: give their COCO file with --ann")
    return [film for film in films if film.iou is not None and film.iou < iou]


def named(films: Sequence[PicturedFilm], parts: Sequence[str]) -> list[PicturedFilm]:
    """Films whose names have one of `parts` in them, in the order of these; a film comes once.

    Raises:
        DatasetError: a part that no name has.
    """
    chosen: dict[str, PicturedFilm] = {}
    for part in parts:
        found = {film.file_name: film for film in films if part in film.file_name}
        if not found:
            raise DatasetError(f"--names {part}: none of {len(films)} film names has this in it")
        chosen = {**chosen, **found}
    return list(chosen.values())


def by_source(films: Sequence[PicturedFilm]) -> dict[str, list[PicturedFilm]]:
    """Films by data set, in the order of its name, each in the order given."""
    groups: dict[str, list[PicturedFilm]] = {}
    for film in films:
        groups.setdefault(film.source, []).append(film)
    return dict(sorted(groups.items()))
