"""Synthetic films in place of the paper's data sets: ``<source>/images/*`` with ``<source>/hips.csv``."""

from __future__ import annotations

import os
from pathlib import Path

from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json_files
from hipdet.data.candidates import HIP, Found
from hipdet.data.coco_file import Film, build_coco
from hipdet.data.convert import convert_listed
from hipdet.data.formats.parse import LabelFault
from hipdet.data.formats.record import FilmLabels
from hipdet.data.match import find_listed
from hipdet.data.split import split_films

SPLIT_SOURCES = ("cgoa", "oaih")  # for training and validation
TEST_SOURCES = ("gis",)
MORE_SOURCES = ("odd",)  # for training, if asked for: no joint file has their films
INFO = {"description": "Hips in synthetic AP pelvic radiographs; boxes in the upright frame, 0-based"}


def find_phantoms(root: Path, source: str) -> Found:
    """Find the films that ``<source>/hips.csv`` below `root` lists, with their patients.

    Raises:
        DatasetError: the list of faults of the table or of its films: missing, or without patient.
    """
    table, folder = root / source / "hips.csv", f"{source}/images"
    return find_listed(root, table, [folder], _patient, "make the phantoms again")


def _patient(labels: FilmLabels) -> str:
    patient: str = labels.remarks["patient"]
    if not patient:
        raise LabelFault(f"column patient is missing or empty for {labels.film}, expected the pseudonym of the patient")
    return patient


def convert_phantoms(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    val_fraction: float = 0.1,
    seed: int = 0,
    split: str = "patient",
) -> dict[Path, list[Film]]:
    """Write a file for each of ``cgoa``, ``oaih``, ``gis`` and ``odd``, and training and validation parts of all but ``gis``.

    ``cgoa_oaih_train.json`` joins ``cgoa_train.json`` and ``oaih_train.json``, ``cgoa_oaih_val.json`` the validation parts.
    Boxes of ``<source>/ignore.csv``, if it exists, are neither ROI nor background.  File names are relative to `root`.  If a
    source has no folder, the files that need it are left out.

    Args:
        root: Folder of the sources' folders.
        out: Folder to write to; by default ``root/annotations``.
        val_fraction: Fraction of the films for validation.
        seed: Seed of the random split.
        split: ``patient``, or ``image`` as in the paper (:func:`hipdet.data.split.split_films`).

    Returns:
        The films of every written file, by path.

    Raises:
        DatasetError: no source at all, or the list of faults of a table or its films.
    """
    root = Path(root)
    out = Path(out) if out is not None else root / "annotations"
    parts: dict[str, list[Film]] = {}
    for source in (*SPLIT_SOURCES, *TEST_SOURCES, *MORE_SOURCES):
        if (folder := root / source).is_dir():
            ignore = folder / "ignore.csv" if (folder / "ignore.csv").is_file() else None
            films = convert_listed(find_phantoms(root, source), folder / "hips.csv", source, ignore)
            parts[source] = films
            if source not in TEST_SOURCES:
                parts[f"{source}_train"], parts[f"{source}_val"] = split_films(films, val_fraction, seed, split)
    if not parts:
        names = " or ".join((*SPLIT_SOURCES, *TEST_SOURCES, *MORE_SOURCES))
        raise DatasetError(f"{root}: no folder {names} found: check the path")
    if parts.keys() >= {*SPLIT_SOURCES}:
        for part in ("train", "val"):
            union = [film for source in SPLIT_SOURCES for film in parts[f"{source}_{part}"]]
            parts["_".join((*SPLIT_SOURCES, part))] = union
    write_json_files({out / f"{name}.json": build_coco(films, [HIP], INFO) for name, films in parts.items()})
    return {out / f"{name}.json": films for name, films in parts.items()}
