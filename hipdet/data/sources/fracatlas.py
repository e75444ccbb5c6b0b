"""FracAtlas (Abedeen et al., Scientific Data 10:521, 2023, CC BY 4.0): the released films with our table of hips."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hipdet.core.annotations import GUESSED_PATIENTS
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json_files
from hipdet.data.coco_file import Film, build_coco
from hipdet.data.convert import checksum
from hipdet.data.formats.hip_table import HIP, HipRow, film_in, films_of_table, read_hip_table
from hipdet.data.split import grouped_folds, near_duplicate_groups
from hipdet.data.statistics import Summary
from hipdet.version import __version__

OUR_TABLE = Path(__file__).with_name("fracatlas_hips.csv")  # labels of 100 films, CC BY 4.0
FOLDERS = ("images", "images/Fractured", "images/Non_fractured")
INFO = {
    "description": "Hips in AP pelvic radiographs of FracAtlas; boxes in the upright frame, 0-based",
    "source": "Abedeen et al., FracAtlas, Scientific Data 10:521 (2023), figshare 22363012",
    "licence": "CC BY 4.0",
}
_NAME = re.compile(r"IMG(\d{1,12})\.jpg")


def convert_fracatlas(
    root: str | os.PathLike[str],
    table: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> dict[Path, list[Film]]:
    """Write ``hips.json`` with its provenance and ``fold{k}_train.json``, ``fold{k}_test.json`` for every fold.

    Consecutive numbers can be the same patient, whom FracAtlas doesn't name: films whose numbers differ by 2 or less
    count as one patient and share a fold; the ``info`` says that this is a guess.  Every image record
    carries the ``fold`` in which it is tested.

    Args:
        root: The released folder, with the films in ``images``, ``images/Fractured`` or ``images/Non_fractured``.
        table: The table of hips; ``root/hips.csv`` if not given, and without such a file ours, of 100 films.
        out: Where the files go; ``root/annotations`` if not given.
        folds: Number of folds.
        seed: Of the draw of folds.

    Returns:
        The films of every written file.

    Raises:
        DatasetError: the list of faults of the table or the films.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; expected the released FracAtlas folder, which holds images/")
    own_table = root / "hips.csv"
    table = Path(table) if table is not None else own_table if own_table.exists() else OUR_TABLE
    out = Path(out) if out is not None else root / "annotations"
    rows = read_hip_table(table)
    group_of = _groups(rows, table)
    films = films_of_table(rows, table, root, "fracatlas", partial(_find, root), lambda row: group_of[row.image])
    fold_numbers = grouped_folds([film.patient for film in films], folds, seed)
    fold_of = {film.file_name: fold for film, fold in zip(films, fold_numbers)}
    subsets = {"hips": films}
    for fold in range(folds):
        subsets[f"fold{fold}_train"] = [film for film in films if fold_of[film.file_name] != fold]
        subsets[f"fold{fold}_test"] = [film for film in films if fold_of[film.file_name] == fold]
    origin = {"hipdet": __version__, "options": {"folds": folds, "seed": seed}, "labels": checksum(table), **INFO}
    contents: dict[Path, Any] = {}
    for name, subset in subsets.items():
        contents[out / f"{name}.json"] = coco = build_coco(subset, [HIP], {**INFO, **GUESSED_PATIENTS})
        for image in coco["images"]:
            image["fold"] = fold_of[image["file_name"]]
    write_json_files({out / "hips.provenance.json": {**origin, **Summary.of(films).record()}, **contents})
    return {out / f"{name}.json": subset for name, subset in subsets.items()}


def _groups(rows: Sequence[HipRow], table: Path) -> dict[str, str]:
    """Image name to its group, which is named by its lowest number: ``IMG0000123``."""
    numbers: dict[str, int] = {}
    for row in rows:
        match = _NAME.fullmatch(row.image)
        if not match:
            raise DatasetError(
                f"{table}: line {row.line}, column image: found {row.image!r}, expected a name such as IMG0000123.jpg"
            )
        numbers[row.image] = int(match[1])
    return {image: f"IMG{group:07d}" for image, group in zip(numbers, near_duplicate_groups(list(numbers.values())))}


def _find(root: Path, image: str) -> Path:
    found = [path for folder in FOLDERS if (path := film_in(root / folder, image))]
    if not found:
        raise DatasetError(f"{image} is in none of {', '.join(FOLDERS)} of {root}: is this the released folder?")
    if len(found) > 1:
        raise DatasetError(f"{image} is there twice: {', '.join(map(str, found))}: keep the released one")
    return found[0]
