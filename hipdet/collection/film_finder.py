"""The films of a folder as candidates, with what tables say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hipdet.coco.faults import raise_faults
from hipdet.collection.candidate import Candidate, Exclusion, Found
from hipdet.collection.match_labels import FilmIndex
from hipdet.collection.stored_file import files_below
from hipdet.errors import DatasetError
from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.label_file import load_label_file
from hipdet.labels.table_text import TableRow, read_table, table_header
from hipdet.radiograph.kind import is_film, short_name

_FILM_COLUMNS = ("film", "image")


def find_films(root: Path, source: str) -> list[Candidate]:
    """All films below `root`, each as its own patient; the copies of an earlier conversion are passed over.

    A film is known by its extension; a file without one is looked into.

    Raises:
        DatasetError: no such folder, no film in it, or a link out of it.
    """
    own = re.compile(rf"{re.escape(source)}_(upright|\d+)")
    files = files_below(root, keep=lambda name: not own.fullmatch(name))
    candidates = [
        Candidate(file, short, short)
        for file in files
        if is_film(file.name, file.path)
        for short in [short_name(file.name)]
    ]
    if not candidates:
        raise DatasetError(f"{root}: no films, expected JPEG, PNG, TIFF, BMP or DICOM files: check the path")
    return candidates


def read_film_table(path: Path, columns: Sequence[str] = (), empty: bool = False) -> list[tuple[str, TableRow]]:
    """The rows of a CSV table by film, which column ``film`` or ``image`` names.

    Args:
        path: Comma, semicolon or tab separated, UTF-8.
        columns: That it must have beside.
        empty: Whether a header alone will do.

    Raises:
        DatasetError: the list of its faults: file, line, what was found and what was expected.
    """
    faults = Faults()
    rows: list[tuple[str, TableRow]] = []
    with faults.at(path.name):
        file = load_label_file(path, path.name)
        if file.kind != "text":
            raise LabelFault(f"is {file.kind.upper()}, expected a CSV table")
        header, _ = table_header(file.document)
        key = next((name for name in _FILM_COLUMNS if name in header), _FILM_COLUMNS[0])
        for row in read_table(file.document, (key, *columns), (",", ";", "\t"), faults, path.name):
            with faults.at(path.name, row.place):
                if not row.text[key]:
                    raise LabelFault(f"column {key} is empty, expected the name of a film")
                rows.append((row.text[key], row))
    raise_faults(path, faults.found)
    if not rows and not empty:
        raise DatasetError(f"{path}: no rows below the header, expected one for each film")
    return rows


def rows_of_films(
    candidates: Sequence[Candidate], table: Path, columns: Sequence[str] = (), empty: bool = False
) -> dict[str, TableRow]:
    """The row of each film that the table has, by the film's name; with `empty` it may have none.

    Raises:
        DatasetError: faults of the table; rows of no film, of several films, or of a film that has one already.
    """
    index = FilmIndex(candidates)
    found: dict[str, TableRow] = {}
    faults = []
    for film, row in read_film_table(table, columns, empty):
        fits = index.find(film)
        if len(fits) != 1:
            count = f"{len(fits)} films of this name, expected one: name its folder too" if fits else "no such film"
            faults.append(f"{row.place}: {film!r}: {count}")
        elif fits[0].name in found:
            faults.append(f"{row.place}: {film!r} is in {found[fits[0].name].place} too, expected once: remove one")
        else:
            found[fits[0].name] = row
    raise_faults(table, faults)
    return found


def exclude_listed(candidates: Sequence[Candidate], table: Path | None) -> Found:
    """`candidates` without those that `table` (``film, reason``) lists; a header alone lists none.

    Raises:
        DatasetError: as :func:`rows_of_films`, or a film without reason.
    """
    rows = rows_of_films(candidates, table, ["reason"], empty=True) if table else {}
    raise_faults(
        table, [f"{row.place}: column reason is empty, expected why" for row in rows.values() if not row.text["reason"]]
    )
    excluded = [
        Exclusion(each.name, rows[each.name].text["reason"], each.other_names)
        for each in candidates
        if each.name in rows
    ]
    return Found(tuple(each for each in candidates if each.name not in rows), tuple(excluded))


def with_patients_of(candidates: Sequence[Candidate], table: Path) -> tuple[list[Candidate], bool]:
    """`candidates` with the patients of `table` (``film, patient``), and whether it has one for each.

    Raises:
        DatasetError: as :func:`rows_of_films`.
    """
    patients = {name: row.text["patient"] for name, row in rows_of_films(candidates, table, ["patient"]).items()}
    return with_patients(candidates, patients), all(patients.get(each.name) for each in candidates)


def with_patients(candidates: Sequence[Candidate], patient_of: Mapping[str, str]) -> list[Candidate]:
    """`candidates` with the patients of `patient_of` by name; the others keep theirs."""
    return [replace(each, patient=patient_of.get(each.name) or each.patient) for each in candidates]
