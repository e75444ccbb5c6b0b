"""The labels of ``hipdet fit``, also of one class without a name, and the patients of its films."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hipdet.core.annotations import GUESSED, UNKNOWN, patients_mark
from hipdet.core.errors import DatasetError, raise_faults
from hipdet.data.candidates import Candidate, Exclusion, Found
from hipdet.data.collect import LabelSource
from hipdet.data.formats.parse import FaultyLabel, load_label_file, table_header
from hipdet.data.formats.record import FilmLabels, FilmSizes, LabelBox
from hipdet.data.match import FilmIndex, read_film_table, with_patients
from hipdet.data.split_files import FoldTable
from hipdet.radiographs.read import read_dicom_text

UNNAMED = "roi"  # the class, where the labels give no name
PATIENT = "patient"  # column of label tables


@dataclass(frozen=True)
class FitLabels(LabelSource):
    """Labels of one class that may be without a name, and which may also say something about the other films.

    Attributes:
        unnamed: Name of the class if no box has one; empty to refuse boxes without a name.
        others: Films that have no ROI unless a label file names them.
    """

    unnamed: str = UNNAMED
    others: tuple[Candidate, ...] = ()

    def read(self, film_size: FilmSizes, faulty: list[FaultyLabel] | None = None) -> list[FilmLabels]:
        """As in LabelSource, with the name of the class, and a record for each of the other films."""
        labels = super().read(film_size, faulty)
        if self.unnamed and all(box.label is None for film in labels for box in (*film.boxes, *film.ignored)):
            labels = [
                replace(film, boxes=_named(film.boxes, self.unnamed), ignored=_named(film.ignored, self.unnamed))
                for film in labels
            ]
        if not self.others:
            return labels
        index = FilmIndex(self.others)
        named = {film.name for each in labels for film in index.find(each.film, each.file.parent.parts)}
        annotator, path = next(iter(self.paths.items()))
        file = path / "films without label" if path.is_dir() else path
        rest = [film.name for film in self.others if film.name not in named]
        return labels + [FilmLabels(name, None, (), file, annotator=annotator) for name in rest]


def _named(boxes: Sequence[LabelBox], name: str) -> tuple[LabelBox, ...]:
    return tuple(replace(box, label=name) for box in boxes)


def find_films(
    find: Callable[..., Found], labels: Collection[Path], given: str | None, folds: object
) -> tuple[Found, list[str]]:
    """The films with their patients, and sentences that say where these come from.

    Args:
        find: Finds the films, as :func:`hipdet.data.sources.folder.find_folder` with its folder, with patients by a rule or a
            `table`, if one is given.
        labels: Label files, which may name patients.
        given: ``--patients``; None for what labels, folds or DICOM tags say.
        folds: ``--folds``, a table if it is a path.

    Raises:
        DatasetError: a film has two patients, or `given` is none of what it may be.
    """
    if given is not None and Path(given).is_file():
        return find(table=Path(given)), [f"patients: {Path(given).name}"]
    if given in ("folder", "film"):
        return find(given), [f"patients: by {given}"]
    if given is not None and "(" in given:
        return find(given), [f"patients: {given} in the films' names"]
    found, column = find(), given or PATIENT
    named = {path: patient_rows(path, column) for path in labels}
    if tables := {path: rows for path, (rows, _) in named.items() if rows}:
        mark = GUESSED if any(mark for _, mark in named.values()) else ""
        return _by_rows(found, tables, mark), [f"patients: {column} in the labels{', guessed' if mark else ''}"]
    table = FoldTable.read(folds) if given is None and isinstance(folds, Path) else None
    if table is not None and table.patient_of:
        rows = [(film, patient, table.path.name) for film, patient in table.patient_of.items()]
        return _by_rows(found, {table.path: rows}, table.mark), [f"patients: as {table.path.name} groups the films"]
    if given is not None:
        raise DatasetError(
            f"--patients {given}: neither a file, nor a column of the labels, nor a regular expression with a group, "
            f"such as '(P[0-9]+)_': expected one of these, or folder or film"
        )
    return _by_tags(found)


def patient_rows(path: Path, column: str) -> tuple[list[tuple[str, str, str]], str]:
    """Film, patient and place of each row of a CSV table, or image of a COCO file, and ``guessed`` if the file says so.

    No rows if it names no patients, or says that they aren't known.
    """
    if not path.is_file() or path.suffix.lower() not in (".csv", ".tsv", ".txt", ".json"):
        return [], ""
    file = load_label_file(path, path.name)
    if file.kind == "text":
        if not {column.casefold(), "image"} <= set(table_header(file.document)[0]):
            return [], ""
        return [(film, row.text[column.casefold()], row.place) for film, row in read_film_table(path)], ""
    images = file.document.get("images") if isinstance(file.document, dict) else None
    if not isinstance(images, list) or not images:
        return [], ""
    mark = patients_mark(file.document)
    if mark == UNKNOWN:
        return [], ""
    named = [each for each in images if isinstance(each, dict) and isinstance(each.get("file_name"), str)]
    rows = [(each["file_name"], str(each.get(column) or ""), f"image {place}") for place, each in enumerate(named, 1)]
    return (rows, mark) if any(patient for _, patient, _ in rows) else ([], "")


def _by_rows(found: Found, tables: Mapping[Path, Sequence[tuple[str, str, str]]], mark: str = "") -> Found:
    """`found` with the patients of `tables`, and with `mark` if each film has one there."""
    # with those that are left out, so that no row of theirs is taken for another's
    index = FilmIndex[Candidate | Exclusion]((*found.candidates, *found.exclusions))
    patients: dict[str, str] = {}
    for path, rows in tables.items():
        faults = []
        for film, patient, place in rows:
            for each in index.find(film):
                before = patients.setdefault(each.name, patient)
                if before != patient:
                    faults.append(f"{place}: {film} is of patient {patient!r}, and of {before!r} before: fix one")
        raise_faults(path, faults)
    mark = mark if all(patients[each.name] for each in found.candidates if each.name in patients) else UNKNOWN
    return replace(found, candidates=tuple(with_patients(found.candidates, patients)), mark=mark)


def _by_tags(found: Found) -> tuple[Found, list[str]]:
    """Patients by DICOM's PatientID, which isn't kept; films stay unknown unless all have one."""
    ids = [
        read_dicom_text(each.file.source(), "PatientID", each.shown) if may_be_dicom(each.name) else None
        for each in found.candidates
    ]
    if not ids or None in ids:
        return found, []
    number = {patient: f"patient {place}" for place, patient in enumerate(dict.fromkeys(ids), 1)}
    patients = {each.name: number[patient] for each, patient in zip(found.candidates, ids)}
    named = replace(found, candidates=tuple(with_patients(found.candidates, patients)), mark="")
    return named, ["patients: from the DICOM tag PatientID, which isn't stored"]


def may_be_dicom(name: str) -> bool:
    """Whether a film may be DICOM, by its name."""
    return Path(name).suffix.lower() in ("", ".dcm", ".dicom", ".ima")
