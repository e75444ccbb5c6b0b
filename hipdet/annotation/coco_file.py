"""The labels of an annotator as COCO, and the films that are left out as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hipdet.annotation.film_state import FilmState, clip
from hipdet.annotation.project import Project
from hipdet.coco.build import build_coco
from hipdet.coco.film import Film, Roi
from hipdet.coco.patients import UNKNOWN_PATIENTS
from hipdet.collection.upright_rois import with_sides
from hipdet.radiograph.header import Size


@dataclass(frozen=True)
class Entry:
    """A film's state and what goes with it.

    Attributes:
        state: Of the film.
        revision: How often it has changed; 0 for a film without any label.
        size: ``(width, height)`` of the upright film; None if it can't be read.
    """

    state: FilmState = field(default_factory=FilmState)
    revision: int = 0
    size: Size | None = None


def coco_of(entries: Mapping[str, Entry], patients: Mapping[str, str], project: Project) -> dict[str, Any]:
    """The films that somebody labelled or excluded, sorted by name.

    Boxes are clipped to the film; those of an excluded film are left out.  Image records have ``status``, and where there is
    something to say ``exclude`` with the reason and ``unsure``.

    Args:
        entries: By name of the film, its path below the folder.
        patients: Pseudonym by name of the film.
        project: Whose classes are the categories.
    """
    films = [
        _film(name, entry, entry.size, patients.get(name, name), project)
        for name, entry in sorted(entries.items())
        if entry.size is not None and entry.state.status(project.rois) != "new"
    ]
    info = {"description": "ROIs drawn on upright radiographs, 0-based", **UNKNOWN_PATIENTS}  # each film is one
    return build_coco(films, project.classes, info)


def exclusion_table(entries: Mapping[str, Entry]) -> Iterable[tuple[str, str]]:
    """Rows ``film, reason``, header first: what ``tools/convert.py`` takes as ``--exclude``."""
    yield "film", "reason"
    for name, entry in sorted(entries.items()):
        if entry.state.exclude:
            yield name, entry.state.exclude


def _film(name: str, entry: Entry, size: Size, patient: str, project: Project) -> Film:
    state = entry.state
    rois: tuple[Roi, ...] = ()
    if not state.exclude:
        rois = tuple(sorted((Roi(clip(roi.box, size), roi.label) for roi in state.rois), key=lambda roi: roi.box))
    remarks = {"exclude": state.exclude, "unsure": state.unsure}
    extra = {
        "annotator": project.annotator,
        "status": state.status(project.rois),
        **{key: value for key, value in remarks.items() if value},
    }
    sided = with_sides(rois) if project.rois == 2 else rois
    return Film(name, *size, project.source, patient, sided, extra)
