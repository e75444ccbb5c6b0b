"""Find the films of a folder, look them up in tables, and match labels to them.

Labels come from other machines and tools: the folders before a film's name may differ, and so may its extension if films were
exported for labelling.  So films are found by name, then by name without extension.  If several films have the same name, the
folders before it decide, compared from the last one up.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Generic, TypeVar

from hipdet.core.annotations import GUESSED, UNKNOWN
from hipdet.core.errors import DatasetError, one_line, raise_faults
from hipdet.core.files import name_of, path_below
from hipdet.core.records import shown
from hipdet.core.stored_files import StoredFile, files_below, holds_copies
from hipdet.data.candidates import Candidate, Exclusion, Found
from hipdet.data.formats.parse import (
    FaultLog,
    FaultyLabel,
    LabelFault,
    TableRow,
    load_label_file,
    table_header,
    table_rows,
)
from hipdet.data.formats.reader import read_labels
from hipdet.data.formats.record import FilmLabels
from hipdet.radiographs.sniff import KINDS, is_film, short_name

log = logging.getLogger(__name__)

Film = TypeVar("Film", bound=Candidate | Exclusion)
PATIENT, GROUP = "patient", "group"  # columns of tables


@dataclass
class Matches:
    """Labels by film, labels of missing films, and faults: labels that fit several films."""

    of_film: dict[str, list[FilmLabels]] = field(default_factory=lambda: defaultdict(list))
    without_film: list[FilmLabels] = field(default_factory=list)
    faults: list[Exclusion] = field(default_factory=list)


class FilmIndex(Generic[Film]):
    """Films by the names that label files may give them."""

    def __init__(self, films: Iterable[Film]) -> None:
        self._by_name: dict[str, list[Film]] = defaultdict(list)
        self._by_stem: dict[str, list[Film]] = defaultdict(list)
        for film in films:
            names = {PurePosixPath(film.name).name, *film.other_names}
            for name in names:
                self._by_name[name].append(film)
            for stem in {short_name(name) for name in names}:
                self._by_stem[stem].append(film)
        bare: dict[str, list[Film]] = defaultdict(list)  # readers of label files strip names
        for name in self._by_name:
            bare[name.strip()] += self._by_name[name]
        self._by_name = {**bare, **self._by_name}

    def find(self, film: str, folder: Sequence[str] = ()) -> list[Film]:
        """The films that a label file may mean by `film`: one, none, or several that can't be distinguished.

        Args:
            film: Name or path in the label file.
            folder: Parts of the path of the label file's folder.
        """
        parts = [*folder, *PureWindowsPath(film).parts]  # accepts both kinds of slashes
        found = self._by_name.get(parts[-1]) or self._by_stem.get(short_name(parts[-1]), [])
        if len(found) < 2:
            return found
        shared = [_shared_folders(PurePosixPath(each.name).parts[:-1], parts[:-1]) for each in found]
        return [each for each, count in zip(found, shared) if count == max(shared)]


def match_labels(labels: Iterable[FilmLabels], films: FilmIndex[Candidate], excluded: FilmIndex[Exclusion]) -> Matches:
    """Match `labels` to `films`; labels of films in `excluded` are left out."""
    matches = Matches()
    for each in labels:
        folder = name_of(str(each.file.parent)).split("/")
        found, left_out = films.find(each.film, folder), excluded.find(each.film, folder)
        if found and left_out:  # a film that is left out may have the same name in another folder
            parts = [*folder, *PureWindowsPath(each.film).parts][:-1]
            near, nearer = (
                _shared_folders(PurePosixPath(some[0].name).parts[:-1], parts) for some in (found, left_out)
            )
            found = [] if nearer > near else found
        if len(found) > 1:
            names = ", ".join(candidate.name for candidate in found[:3])
            reason = f"{each.file.name}: label fits {len(found)} films ({names}), expected one: add the folder"
            matches.faults.append(Exclusion(each.film, reason))
        elif found:
            matches.of_film[found[0].name].append(each)
        elif not left_out:
            matches.without_film.append(each)
    return matches


def _shared_folders(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of equal folders, from the last one up."""
    pairs = zip(reversed(one), reversed(other))
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def find_films(root: Path, source: str) -> list[Candidate]:
    """Find all films below `root`, each as a patient of its own; folders of copies that hipdet made are passed over.

    Films are recognized by their extension, files without one by their content.

    Raises:
        DatasetError: no such folder, no film in it, or a link that leads out of it.
    """
    own = re.compile(rf"{re.escape(source)}_(upright|\d+)")  # also of versions that marked no folder

    def keep(name: str) -> bool:
        copies = holds_copies(path_below(root, name))
        if copies:
            log.warning("%s: passed over, as it holds copies that hipdet convert made", one_line(name))
        return not (copies or own.fullmatch(name))

    files = files_below(root, keep=keep)
    films = [(file, short_name(file.name)) for file in files if is_film(file.name, file.path)]
    candidates = [Candidate(file, short, short) for file, short in films]
    if not candidates:
        raise DatasetError(f"{root}: no films, expected {KINDS} files: check the path")
    return candidates


def find_listed(
    root: Path, table: Path, folders: Sequence[str], patient_of: Callable[[FilmLabels], str], remedy: str
) -> Found:
    """Find the films that a hip table lists, in its order.

    Args:
        root: Folder of the data set.
        table: The table.
        folders: Folders below `root`, one of which holds the film.
        patient_of: Returns the pseudonym of the patient; raises LabelFault if there is none.
        remedy: How to fix a missing film.

    Raises:
        DatasetError: faults of the table, or the list of films that are missing, exist twice, or have no patient.
    """
    candidates, faults = [], FaultLog()
    for labels in read_labels(table, "hips"):
        with faults.at(labels.place):
            patient = patient_of(labels)
            names = [name for folder in folders if _exists(path_below(root, name := f"{folder}/{labels.film}"))]
            if not names:
                raise LabelFault(f"{labels.film} is not in {' or '.join(folders)} of {root}: {remedy}")
            if len(names) > 1:
                raise LabelFault(f"{labels.film} is {' and '.join(names)} of {root}, expected one: remove the others")
            candidates.append(
                Candidate(StoredFile(names[0], path_below(root, names[0])), patient, short_name(names[0]))
            )
    raise_faults(table, faults.found)
    return Found(tuple(candidates))


def _exists(path: Path) -> bool:
    if path.is_file() and path.resolve().parent != path.parent.resolve():
        raise LabelFault(f"{path} is a link out of its folder: put the film itself there")
    return path.is_file()


def read_film_table(
    path: Path, columns: Sequence[str] = (), empty: bool = False, faulty: list[FaultyLabel] | None = None
) -> list[tuple[str, TableRow]]:
    """Read a CSV table as pairs of film and row; column ``film`` or ``image`` names the film.

    Args:
        path: Comma, semicolon or tab separated, UTF-8.
        columns: Further columns that it must have.
        empty: Whether a header without rows is accepted.
        faulty: Gets the faults of its rows, so that they don't raise.

    Raises:
        DatasetError: the list of its faults: file, line, what was found and what was expected.
    """
    whole, faults = FaultLog(), FaultLog()
    rows: list[tuple[str, TableRow]] = []
    with whole.at(path.name):
        file = load_label_file(path, path.name)
        if file.kind != "text":
            raise LabelFault(f"is {file.kind.upper()}, expected a CSV table")
        header, _ = table_header(file.document)
        key = "image" if "image" in header and "film" not in header else "film"
        for row in table_rows(file.document, (key, *columns), faults, path.name):
            with faults.at(path.name, row.place):
                if not row.text[key]:
                    raise LabelFault(f"column {key} is empty, expected the name of a film")
                rows.append((row.text[key], row))
    raise_faults(path, [*whole.found, *(faults.found if faulty is None else ())])
    if faulty is not None:
        faulty += faults.faults
    if not rows and not empty:
        raise DatasetError(f"{path}: no rows below the header, expected one for each film")
    return rows


def rows_of_films(
    candidates: Sequence[Candidate],
    table: Path,
    columns: Sequence[str] = (),
    empty: bool = False,
    faults: list[Exclusion] | None = None,
) -> dict[str, TableRow]:
    """Read the rows of a table by name of their film.

    Args:
        candidates: The films.
        table: The table, see :func:`read_film_table`.
        columns: Further columns that it must have.
        empty: Whether it may have no rows.
        faults: Gets a film or a row for each fault, so that they don't raise; such a film has no row.

    Raises:
        DatasetError: faults of the table; rows that match no film, several films, or a film that has a row already.
    """
    index = FilmIndex(candidates)
    found: dict[str, TableRow] = {}
    faulty: list[FaultyLabel] = []
    spoiled: set[str] = set()
    for film, row in read_film_table(table, columns, empty, None if faults is None else faulty):
        fits = index.find(film)
        if len(fits) == 1 and fits[0].name not in found:
            found[fits[0].name] = row
            continue
        if len(fits) == 1:
            reason = f"{shown(film)} is in {found[fits[0].name].place} too, expected once: remove one"
        else:
            count = f"{len(fits)} films of this name, expected one: add the folder" if fits else "no such film"
            reason = f"{shown(film)}: {count}"
        faulty.append(FaultyLabel(f"{table.name}: {row.place}", film, reason))
    if faults is None:
        raise_faults(table, [str(fault) for fault in faulty])
        return found
    for fault in faulty:
        faults += fault_exclusions(fault, index.find(fault.film) if fault.film else [], "faulty row of a table")
        spoiled |= {each.name for each in index.find(fault.film)} if fault.film else set()
    return {name: row for name, row in found.items() if name not in spoiled}


def fault_exclusions(fault: FaultyLabel, films: Sequence[Candidate], kind: str) -> list[Exclusion]:
    """The `films` that a fault is about, left out for it; the place of the fault if there is none.

    `kind`, such as ``faulty label``, begins the reasons, so that they are counted together.
    """
    reason = f"{kind}: {fault}"
    if films:
        return [Exclusion(each.shown, reason, each.other_names) for each in films]
    return [Exclusion(fault.film or fault.where, reason)]


def exclude_listed(candidates: Sequence[Candidate], table: Path | None, faults: list[Exclusion] | None = None) -> Found:
    """Exclude the `candidates` that `table` (``film, reason``) lists; a table without rows excludes none.

    Raises:
        DatasetError: as :func:`rows_of_films`, or a film without reason.
    """
    rows = rows_of_films(candidates, table, ["reason"], empty=True, faults=faults) if table else {}
    without = [row.place for row in rows.values() if not row.text["reason"]]
    raise_faults(table, [f"{place}: column reason is empty, expected a reason" for place in without])
    listed = [each for each in candidates if each.name in rows]
    excluded = tuple(Exclusion(each.name, rows[each.name].text["reason"], each.other_names) for each in listed)
    return Found(
        tuple(each for each in candidates if each.name not in rows),
        excluded,
        tables={"exclude": table} if table else {},
    )


def add_patients(
    candidates: Sequence[Candidate], table: Path, faults: list[Exclusion] | None = None
) -> tuple[list[Candidate], str]:
    """Give `candidates` the patients of `table` (``film, patient``).

    The table may have a column ``group`` instead: films that may be of one patient.

    Returns:
        The films, and what is known: the mark of :class:`hipdet.data.candidates.Found`, ``unknown`` unless all are there.

    Raises:
        DatasetError: as :func:`rows_of_films`.
    """
    column = _patient_column(table)
    rows = rows_of_films(candidates, table, [column], faults=faults)
    patients = {name: row.text[column] for name, row in rows.items()}
    known = GUESSED if column == GROUP else ""
    mark = known if all(patients.get(each.name) for each in candidates) else UNKNOWN
    return with_patients(candidates, patients), mark


def _patient_column(table: Path) -> str:
    try:
        file = load_label_file(table, table.name)
    except LabelFault:  # reported when the table is read
        return PATIENT
    header = table_header(file.document)[0] if file.kind == "text" else []
    return GROUP if GROUP in header and PATIENT not in header else PATIENT


def without_faulty(found: Found, faults: Sequence[Exclusion]) -> Found:
    """`found` without the films that `faults` are about; these are in its `faults`."""
    faulty = {fault.name for fault in faults}
    return replace(
        found,
        candidates=tuple(each for each in found.candidates if each.shown not in faulty),
        exclusions=tuple(each for each in found.exclusions if each.name not in faulty),
        faults=tuple(sorted({fault.name: fault for fault in reversed(faults)}.values())),
    )


def with_patients(candidates: Sequence[Candidate], patient_of: Mapping[str, str]) -> list[Candidate]:
    """Give `candidates` the patients of `patient_of`, by name of the film; films without one there keep theirs."""
    return [replace(each, patient=patient_of.get(each.name) or each.patient) for each in candidates]
