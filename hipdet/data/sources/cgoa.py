"""CGOA: a hospital's films, named by serial number, with a table of patients, groups and fracture readings (paper, 2.1).

Layout: ``films.csv`` with columns ``film, patient, group, fracture``; films called ``0001.jpg``, or ``0001_pre.jpg`` and
``0001_post.jpg`` for the films before and after a hip replacement; label files in ``labels``.

The paper starts from 3,013 pairs, excludes 353 fracture cases and reports 2,660 patients and 2,660 films: one film of each
pair.  It doesn't say which one; here it is the film before the operation, which shows the disease.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hipdet.core.errors import DatasetError, raise_faults
from hipdet.core.records import shown
from hipdet.data.candidates import Exclusion, Found
from hipdet.data.formats.parse import TableRow
from hipdet.data.match import find_films, rows_of_films, without_faulty

SOURCE = "cgoa"
PHASES = ("pre", "post")
ONE = "one"  # one film of each pair: that of the first of PHASES that exists
GROUPS = {"oa": "OA", "normal": "normal"}
COLUMNS = ("patient", "group", "fracture")
_SERIAL = re.compile(r"(\d{1,10})(?:[_-]?(pre|post))?", re.IGNORECASE)


def find_cgoa(
    root: Path,
    table: Path | None = None,
    phases: Collection[str] = (ONE,),
    crop: tuple[int, int] = (0, 0),
    skip_faulty: bool = False,
) -> Found:
    """Find the films of the table, without fracture cases.

    A fracture on either film of a pair excludes both: the paper excludes cases, not films.

    Args:
        root: Folder with the films and ``films.csv``.
        table: Table to use in place of ``films.csv``.
        phases: Which films of a pair to use: ``pre``, ``post``, both, or ``one``: the film before the operation if there is
            one, otherwise that after it.
        crop: Pixel rows to cut off at the top and at the bottom, where some films show patient data.
        skip_faulty: Leave out what is faulty in the table, with the films it is about: ``faults`` of the result.

    Raises:
        DatasetError: no films, a name that is no serial number, or the list of faults of the table.
    """
    if min(crop) < 0:
        raise DatasetError(f"crop is {crop[0]} {crop[1]}, expected pixel rows from 0 up at the top and at the bottom")
    films = find_films(root, SOURCE)
    unnumbered = [film.name for film in films if not _serial(film.name)[0]]
    hint = "expected a serial number such as 0001, 0001_pre or 0001_post: this name may identify the patient"
    raise_faults(f"{root} (rename the films, in the label files too)", [f"{name}: {hint}" for name in unnumbered])
    table = table or root / "films.csv"
    faults: list[Exclusion] = []
    rows = rows_of_films(films, table, COLUMNS, faults=faults if skip_faulty else None)
    found = [*_row_faults(rows), *_pair_faults(rows)]
    if not skip_faulty:
        raise_faults(table, list(dict.fromkeys(fault.reason for fault in found)))
    faults += [Exclusion(fault.name, f"faulty row of a table: {table.name}: {fault.reason}") for fault in found]
    spoiled = {_serial(fault.name)[0]: fault.reason for fault in faults} if skip_faulty else {}
    faults += [
        Exclusion(film.name, spoiled[_serial(film.name)[0]]) for film in films if _serial(film.name)[0] in spoiled
    ]
    fractures = {_serial(name)[0]: name for name, row in rows.items() if row.text["fracture"] == "1"}
    taken = _taken([_serial(name) for name in rows], phases)
    candidates, exclusions = [], []
    for film in films:
        serial, phase = _serial(film.name)
        if serial in spoiled:  # either film of a pair may show a fracture
            continue
        if film.name not in rows:
            reason = f"not in {table.name}"
        elif serial in fractures:
            reason = "fracture" if fractures[serial] == film.name else f"fracture, read on {fractures[serial]}"
        elif phase and phase not in taken[serial]:
            reason = f"{phase} film of a pair"
        else:
            extra = {"group": GROUPS[rows[film.name].text["group"].casefold()], **({"phase": phase} if phase else {})}
            candidates.append(replace(film, patient=rows[film.name].text["patient"], extra=extra, crop=crop))
            continue
        exclusions.append(Exclusion(film.name, reason))
    return without_faulty(Found(tuple(candidates), tuple(exclusions), tables={"table": table}), faults)


def _taken(films: Iterable[tuple[str, str]], phases: Collection[str]) -> Mapping[str, set[str]]:
    """The phases to use, by serial number; `films` are pairs of serial number and phase."""
    existing: dict[str, set[str]] = defaultdict(set)
    for serial, phase in films:
        existing[serial].add(phase)
    first = {serial: next((phase for phase in PHASES if phase in found), "") for serial, found in existing.items()}
    return {serial: {*phases, first[serial]} if ONE in phases else set(phases) for serial in existing}


def _serial(name: str) -> tuple[str, str]:
    """Serial number, or ``""`` if there is none, and phase, ``""`` for a single film."""
    match = _SERIAL.fullmatch(PurePosixPath(name).stem)
    return (match[1], (match[2] or "").lower()) if match else ("", "")


def _row_faults(rows: Mapping[str, TableRow]) -> Iterator[Exclusion]:
    for name, row in rows.items():
        if not row.text["patient"]:
            yield Exclusion(name, f"{row.place} ({name}): column patient is empty, expected a pseudonym")
        for column, good in (("group", GROUPS), ("fracture", {"0": "0", "1": "1"})):
            if row.text[column].casefold() not in good:
                found, expected = shown(row.text[column]), " or ".join(good.values())
                yield Exclusion(name, f"{row.place} ({name}): column {column} is {found}, expected {expected}")


def _pair_faults(rows: Mapping[str, TableRow]) -> Iterator[Exclusion]:
    """Faults of pairs whose two films have different patients."""
    pairs: dict[str, list[tuple[str, TableRow]]] = defaultdict(list)
    for name, row in rows.items():
        pairs[_serial(name)[0]].append((name, row))
    for serial, films in pairs.items():
        patients = {row.text["patient"] for _, row in films}
        if len(patients) > 1:
            names = " and ".join(name for name, _ in films)
            found = f"{names} are films of number {serial}, found {len(patients)} patients, expected one: fix the table"
            yield from (Exclusion(name, f"{films[1][1].place}: {found}") for name, _ in films)
