"""Synthetic films that stand in for the paper's data sets: ``<source>/images/*`` with ``<source>/hips.csv``."""

from __future__ import annotations

import os
from pathlib import Path

from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json
from hipdet.data.coco_file import Film, build_coco
from hipdet.data.formats.hip_table import HIP, film_in, films_of_table, read_hip_table
from hipdet.data.split import split_films

SPLIT_SOURCES = ("cgoa", "oaih")  # trained and validated on
TEST_SOURCES = ("gis",)
INFO = {"description": "Hips in synthetic AP pelvic radiographs; boxes in the upright frame, 0-based"}


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
    subsets: dict[str, list[Film]] = {}
    for source in (*SPLIT_SOURCES, *TEST_SOURCES):
        if (root / source).is_dir():
            subsets[source] = _films(root, source)
            if source in SPLIT_SOURCES:
                train, val = split_films(subsets[source], val_fraction, seed, split)
                subsets |= {f"{source}_train": train, f"{source}_val": val}
    if not subsets:
        raise DatasetError(f"{root}: found none of the folders {', '.join((*SPLIT_SOURCES, *TEST_SOURCES))}")
    if all(source in subsets for source in SPLIT_SOURCES):
        for part in ("train", "val"):
            together = [film for source in SPLIT_SOURCES for film in subsets[f"{source}_{part}"]]
            subsets["_".join((*SPLIT_SOURCES, part))] = together
    for name, films in subsets.items():
        write_json(out / f"{name}.json", build_coco(films, [HIP], INFO))
    return {out / f"{name}.json": films for name, films in subsets.items()}


def _films(root: Path, source: str) -> list[Film]:
    table, folder = root / source / "hips.csv", root / source / "images"

    def find(image: str) -> Path:
        path = film_in(folder, image)
        if path is None:
            raise DatasetError(f"{image} is not in {folder}: make the phantoms again")
        return path

    return films_of_table(
        read_hip_table(table, need_patient=True), table, root, source, find, lambda row: str(row.patient)
    )
