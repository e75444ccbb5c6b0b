"""The way of every data set of films and label files: collect, copy, write, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hipdet.coco.faults import raise_faults
from hipdet.coco.film import Film
from hipdet.coco.summary import summarize
from hipdet.collection.candidate import Candidate, Exclusion, Found, fault_of
from hipdet.collection.collect import collect
from hipdet.collection.conversion import Conversion, Output, reasons
from hipdet.collection.film_copies import copy_films
from hipdet.collection.label_source import LabelSource
from hipdet.collection.near_duplicates import NearDuplicate, difference_hash, groups, near_duplicates
from hipdet.collection.provenance import provenance
from hipdet.collection.rules import Rules
from hipdet.collection.write_conversion import write_conversion
from hipdet.errors import DatasetError, HipdetError
from hipdet.radiograph import read_radiograph

Films = list[tuple[Film, Candidate]]


def convert_found(
    root: Path, found: Found, labels: LabelSource, rules: Rules, output: Output, options: Mapping[str, Any]
) -> Conversion:
    """Convert the films of `found` and write ``<source>.json`` with its reports.

    The annotations are written last: where they are, everything else is.

    Args:
        root: Folder of the data set, which the names of `found` are below.
        found: By the finder of the data set.
        labels: Label files.
        rules: Of the data set.
        output: Where to.
        options: For the provenance file: what the user chose, without paths.

    Raises:
        DatasetError: no film is left, or the list of films that can't be converted.
    """
    if output.copies is None:
        _require_films_as_they_are(found.candidates)
    collected = collect(found, labels, rules)
    films, faults = list(collected.films), list(collected.faults)
    _refuse(root, faults, output)  # before the steps that take long
    pairs: list[NearDuplicate] = []
    if output.near_duplicates:
        films, pairs, undecodable = _join_near_duplicates(films)
        faults += undecodable
    originals = {candidate.name: film for film, candidate in films}
    if output.copies is None:
        films = _in_place(films, root, output.data_root)
    else:
        films, undecodable = copy_films(films, output.copies)
        faults += undecodable
    _refuse(root, faults, output)
    exclusions = tuple(sorted({*collected.exclusions, *faults}))
    if not films:
        listed = "; ".join(f"{count} x {reason}" for reason, count in reasons(exclusions)[:5]) or "no films were found"
        raise DatasetError(f"{root}: no film is left to convert, expected at least one: {listed}")
    conversion = Conversion(
        path=output.folder / f"{rules.source}.json",
        films=[film for film, _ in films],
        summary=summarize([originals[candidate.name] for _, candidate in films]),
        exclusions=exclusions,
        agreements=collected.agreements,
        duplicates=tuple(pairs),
        warnings=collected.warnings,
        notes=found.notes,
        patients_known=found.patients_known,
    )
    write_conversion(conversion, provenance(root, conversion, labels, options), rules)
    return conversion


def _refuse(root: Path, faults: Sequence[Exclusion], output: Output) -> None:
    if not output.skip_faulty:
        hint = "mend them, or leave these films out with --skip-faulty"
        raise_faults(f"{root} ({hint})", [f"{fault.name}: {fault.reason}" for fault in faults])


def _require_films_as_they_are(candidates: Sequence[Candidate]) -> None:
    """Without copies, training reads the films where they lie, as they are."""
    packed = [candidate.shown for candidate in candidates if candidate.file.member is not None]
    if packed:
        raise DatasetError(
            f"{packed[0]} and {len(packed) - 1} more films are inside zips, where training can't read them: add "
            f"--copies upright or --copies 448"
        )
    if any(candidate.crop != (0, 0) for candidate in candidates):
        raise DatasetError("films can be cropped only in copies: add --copies upright or --copies 448")


def _in_place(films: Films, root: Path, data_root: Path) -> Films:
    try:
        prefix = root.resolve().relative_to(data_root.resolve())
    except ValueError as error:
        raise DatasetError(f"{root} is not below the data root {data_root}: move it there, or add --copies") from error
    return [(replace(film, file_name=(prefix / film.file_name).as_posix()), candidate) for film, candidate in films]


def _join_near_duplicates(films: Films) -> tuple[Films, list[NearDuplicate], list[Exclusion]]:
    """Films that are nearly the same become one patient, so that no split divides them; undecodable ones are faults."""
    good, hashes, faults = [], [], []
    for film, candidate in tqdm(films, "near duplicates", unit="film", disable=None):
        try:
            hashes.append(difference_hash(read_radiograph(candidate.file.source(), candidate.shown)))
            good.append((film, candidate))
        except HipdetError as error:
            faults.append(fault_of(candidate, error))
    names = [candidate.shown for _, candidate in good]
    pairs = near_duplicates(names, hashes)
    patient = {candidate.shown: film.patient for film, candidate in good}
    film_of = {of: name for name, of in patient.items()}
    # a patient's other films come along
    first = groups(names, [*pairs, *(NearDuplicate(0, film_of[patient[name]], name) for name in names)])
    joined = [(replace(film, patient=patient[first[each.shown]]), each) for film, each in good]
    return joined, pairs, faults
