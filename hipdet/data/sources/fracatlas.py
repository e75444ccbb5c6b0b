"""FracAtlas (Abedeen et al., Scientific Data 10:521, 2023, CC BY 4.0): the released films and hipdet's table of hips."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from hipdet.core.annotations import GUESSED, mark_record
from hipdet.core.errors import DatasetError
from hipdet.core.files import write_json_files
from hipdet.core.records import shown
from hipdet.data.candidates import HIP, Found
from hipdet.data.coco_file import Film, build_coco
from hipdet.data.convert import checksum, convert_listed
from hipdet.data.formats.parse import LabelFault
from hipdet.data.formats.record import FilmLabels
from hipdet.data.match import find_listed
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


def find_fracatlas(root: Path, table: Path) -> Found:
    """Find the films that `table` lists.

    FracAtlas doesn't say which films are of one patient, and consecutive numbers may be.  So films whose numbers differ by 2
    or less are treated as one patient, named by the lowest number: ``IMG0000123``.

    Raises:
        DatasetError: the list of faults of the table or of its films: missing, in two folders, or not named as in FracAtlas.
    """
    found = find_listed(root, table, FOLDERS, _number, "is this the released folder?")
    groups = near_duplicate_groups([int(film.patient) for film in found.candidates])
    films = (replace(film, patient=f"IMG{group:07d}") for film, group in zip(found.candidates, groups))
    return Found(tuple(films), mark=GUESSED)


def _number(labels: FilmLabels) -> str:
    match = _NAME.fullmatch(labels.film)
    if not match:
        raise LabelFault(f"column image is {shown(labels.film)}, expected a name such as IMG0000123.jpg")
    return match[1]


def convert_fracatlas(
    root: str | os.PathLike[str],
    table: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    folds: int = 5,
    seed: int = 0,
    ignore: str | os.PathLike[str] | None = None,
) -> dict[Path, list[Film]]:
    """Write ``hips.json`` with its provenance, and ``fold{k}_train.json`` and ``fold{k}_test.json`` for every fold.

    Films that may be of one patient share a fold; the ``info`` says that this is a guess.  Every image record has the
    ``fold`` in which it is tested.

    Args:
        root: The released folder, with the films in ``images``, ``images/Fractured`` or ``images/Non_fractured``.
        table: The table of hips; by default ``root/hips.csv``, or hipdet's own table of 100 films if there is no such file.
        out: Folder to write to; by default ``root/annotations``.
        folds: Number of folds.
        seed: Seed of the random folds.
        ignore: Table of boxes to ignore.

    Returns:
        The films of every written file, by path.

    Raises:
        DatasetError: the list of faults of the table or the films.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder, expected FracAtlas as released, with images/: check the path")
    own_table = root / "hips.csv"
    table = Path(table) if table is not None else own_table if own_table.exists() else OUR_TABLE
    out = Path(out) if out is not None else root / "annotations"
    found = find_fracatlas(root, table)
    films = convert_listed(found, table, "fracatlas", Path(ignore) if ignore is not None else None)
    fold_of = grouped_folds([film.patient for film in films], folds, seed)
    films = [replace(film, extra={**film.extra, "fold": fold}) for film, fold in zip(films, fold_of)]
    parts = {"hips": films}
    for fold in range(folds):
        parts[f"fold{fold}_train"] = [film for film in films if film.extra["fold"] != fold]
        parts[f"fold{fold}_test"] = [film for film in films if film.extra["fold"] == fold]
    origin = {"hipdet": __version__, "options": {"folds": folds, "seed": seed}, "labels": checksum(table), **INFO}
    info = {**INFO, **mark_record(found.mark)}
    contents = {out / f"{name}.json": build_coco(part, [HIP], info) for name, part in parts.items()}
    write_json_files({out / "hips.provenance.json": {**origin, **Summary.of(films).record()}, **contents})
    return {out / f"{name}.json": part for name, part in parts.items()}
