"""Any folder of films with any ROIs (knees, hearts, lungs), and GIS: a test set of hips from an image search (paper, 2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hipdet.core.annotations import GUESSED, UNKNOWN
from hipdet.core.errors import DatasetError
from hipdet.data.candidates import Candidate, Exclusion, Found
from hipdet.data.match import add_patients, exclude_listed, find_films, with_patients, without_faulty

GIS = "gis"
GIS_MIN_SIDE = 225  # px; the paper's text excludes films below 255, but its table has one of 225


def find_folder(
    root: Path,
    source: str,
    patient_from: str = "unknown",
    table: Path | None = None,
    exclude: Path | None = None,
    skip_faulty: bool = False,
) -> Found:
    """Find the films of a folder and their patients.

    Args:
        root: Folder of films.
        source: Name of the data set.
        patient_from: ``unknown`` treats each film as a patient, as patients aren't known; ``film`` states that each film is
            of another patient; ``folder`` uses the name of the film's folder; anything else is a regular expression that is
            searched in the film's name, and its first group is the patient.
        table: Table ``film, patient``, or ``film, group`` of films that may be of one patient; films that are missing there
            get their patient by `patient_from`.
        exclude: Table ``film, reason`` of films to leave out.
        skip_faulty: Leave out what is faulty in the tables, with the films it is about: ``faults`` of the result.

    Raises:
        DatasetError: no films, a name in which the expression isn't found, or the list of faults of a table.
    """
    films = find_films(root, source)
    if patient_from not in ("unknown", "film"):
        films = with_patients(films, _patients(films, patient_from))
    mark = UNKNOWN if patient_from == "unknown" else ""
    faults: list[Exclusion] = []
    taken = faults if skip_faulty else None
    if table is not None:
        films, known = add_patients(films, table, taken)
        mark = known if mark == UNKNOWN or known == GUESSED else ""
    found = without_faulty(exclude_listed(films, exclude, taken), faults)
    tables = {**({"table": table} if table else {}), **found.tables}
    return replace(found, mark=mark, tables=tables)


def find_gis(root: Path, exclude: Path | None = None, table: Path | None = None, skip_faulty: bool = False) -> Found:
    """Find the films of a folder, without those that a table excludes.

    Args:
        root: Folder of films.
        exclude: Table ``film, reason`` of films to leave out: in the paper children, drawings and bandages over the hip;
            by default ``root/exclude.csv`` if there is one.
        table: Table ``film, patient`` if patients are known; otherwise each film is treated as a patient.
        skip_faulty: As for :func:`find_folder`.

    Raises:
        DatasetError: no films, or the list of faults of a table.
    """
    listed = root / "exclude.csv"
    exclude = exclude or (listed if listed.is_file() else None)
    return find_folder(root, GIS, table=table, exclude=exclude, skip_faulty=skip_faulty)


def _patients(films: Iterable[Candidate], patient_from: str) -> dict[str, str]:
    if patient_from == "folder":
        parents = {film.name: PurePosixPath(film.name).parent.as_posix() for film in films}
        outside = [name for name, parent in parents.items() if parent == "."]
        if outside:
            raise DatasetError(f"{outside[0]}: in no folder, expected one per patient (--patient-from folder): move it")
        return parents
    try:
        pattern = re.compile(patient_from)
    except re.error as error:
        raise DatasetError(f"--patient-from {patient_from!r}: not a regular expression ({error})") from error
    if pattern.groups < 1:
        raise DatasetError(f"--patient-from {patient_from!r}: has no group, expected one such as '(P[0-9]+)_'")
    patients = {}
    for film in films:
        match = pattern.search(film.name)
        if not match or not match[1]:
            raise DatasetError(f"{film.name}: --patient-from {patient_from!r} finds no patient in this name")
        patients[film.name] = match[1]
    return patients
