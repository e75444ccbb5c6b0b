"""Synthetic films that stand in for the paper's data sets: ``<source>/images/*`` with ``<source>/hips.csv``."""

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

SPLIT_SOURCES = ("cgoa", "oaih")  # trained and validated on
TEST_SOURCES = ("gis",)
INFO = {"description": "Hips in synthetic AP pelvic radiographs; boxes in the upright frame, 0-based"}


def find_phantoms(root: Path, source: str) -> Found:
    """The films that ``<source>/hips.csv`` below `root` names, with its patients.

    Raises:
        DatasetError: the list of faults of the table, or of its films: not there, or without patient.
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
    """Write ``cgoa``, ``oaih`` and ``gis`` whole, the first two split into training and validation, and the two together.

    ``cgoa_oaih_train.json`` is the union of ``cgoa_train.json`` and ``oaih_train.json``, and so for ``val``.  File
    names are relative to `root`.  A source without a folder is left out, and so is what needs it.

    Args:
        root: Holds the folders of the sources.
        out: Where the files go; ``root/annotations`` if not given.
        val_fraction: Part of the films for validation.
        seed: Of the draw of patients.
        split: ``patient``, or ``image`` as the paper did (:func:`hipdet.data.split.split_films`).

    Returns:
        The films of every written file.

    Raises:
        DatasetError: no source at all, or the list of faults of a table or its films.
    """
    root = Path(root)
    out = Path(out) if out is not None else root / "annotations"
    parts: dict[str, list[Film]] = {}
    for source in (*SPLIT_SOURCES, *TEST_SOURCES):
        if (root / source).is_dir():
            films = parts[source] = convert_listed(find_phantoms(root, source), root / source / "hips.csv", source)
            if source in SPLIT_SOURCES:
                parts[f"{source}_train"], parts[f"{source}_val"] = split_films(films, val_fraction, seed, split)
    if not parts:
        raise DatasetError(f"{root}: found none of the folders {', '.join((*SPLIT_SOURCES, *TEST_SOURCES))}")
    if parts.keys() >= {*SPLIT_SOURCES}:
        for part in ("train", "val"):
            union = [film for source in SPLIT_SOURCES for film in parts[f"{source}_{part}"]]
            parts["_".join((*SPLIT_SOURCES, part))] = union
    write_json_files({out / f"{name}.json": build_coco(films, [HIP], INFO) for name, films in parts.items()})
    return {out / f"{name}.json": films for name, films in parts.items()}
