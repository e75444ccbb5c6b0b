"""Labels made elsewhere, to be corrected."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hipdet.annotation.film_folder import FilmFolder
from hipdet.annotation.film_state import FilmState, is_square, squared
from hipdet.annotation.project import Project
from hipdet.coco.film import Roi
from hipdet.coco.film_status import is_done
from hipdet.collection.candidate import Exclusion
from hipdet.collection.match_labels import FilmIndex, match_labels
from hipdet.collection.rules import Rules
from hipdet.collection.upright_rois import upright_rois
from hipdet.errors import HipdetError
from hipdet.labels import read_labels
from hipdet.labels.record import FilmLabels
from hipdet.radiograph import read_header
from hipdet.radiograph.header import Size


@dataclass
class OldLabels:
    """States by film, all of them unchecked, and sentences on what wasn't taken over as it is."""

    states: dict[str, tuple[FilmState, Size]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_old_labels(path: Path, films: FilmFolder, project: Project) -> OldLabels:
    """The labels of `path`, in any format that :func:`hipdet.labels.read_labels` knows, for the films that are here.

    In a project of squares, boxes become the squares around them.

    Raises:
        DatasetError: label files that can't be read.
    """
    index = FilmIndex(films.candidates.values())
    none: FilmIndex[Exclusion] = FilmIndex(())

    def film_size(film: str) -> Size | None:
        found = index.find(film)
        return films.size(found[0].name) if len(found) == 1 else None

    matches = match_labels(read_labels(path, film_size=film_size), index, none)
    rules = Rules(project.source, project.classes, rois=None, scaled_labels=True)
    old = OldLabels(notes=[f"{fault.name}: {fault.reason}" for fault in matches.faults])
    for name, labels in matches.of_film.items():
        try:
            _take(name, labels, films, project, rules, old)
        except HipdetError as error:
            old.notes.append(f"left out: {error}")
    if matches.without_film:
        old.notes.append(f"{len(matches.without_film)} labelled films are not in this folder")
    return old


def _take(
    name: str, labels: list[FilmLabels], films: FilmFolder, project: Project, rules: Rules, old: OldLabels
) -> None:
    if len(labels) > 1:
        old.notes.append(f"{name}: labelled {len(labels)} times, the first is taken ({labels[0].file.name})")
    candidate = films.candidates[name]
    header = read_header(candidate.file.path, name)
    upright = upright_rois(labels[0], header, candidate, rules)
    if upright.warning:
        old.notes.append(upright.warning)
    if upright.ignored:
        old.notes.append(f"{name}: {len(upright.ignored)} boxes that are to be ignored (iscrowd, ignore) are left out")
    rois = upright.rois
    if not project.free_shape:
        odd = [roi for roi in rois if not is_square(roi.box)]
        rois = tuple(Roi(squared(roi.box, header.upright), roi.label) if roi in odd else roi for roi in rois)
        if odd:
            old.notes.append(f"{name}: {len(odd)} boxes are not square, the squares around them are taken")
    none = not rois and is_done(labels[0].remarks)  # in other files no box may also mean that nobody has looked
    if rois or none:
        old.states[name] = FilmState(rois, none=none), header.upright
