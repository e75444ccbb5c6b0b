"""FracAtlas (Abedeen et al., Scientific Data 10:521, 2023, CC BY 4.0): the released films, hipdet's hips and knees."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
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

FOLDERS = ("images", "images/Fractured", "images/Non_fractured")
INFO = {
    "source": "Abedeen et al., FracAtlas, Scientific Data 10:521 (2023), figshare 22363012",
    "licence": "CC BY 4.0",
}
_NAME = re.compile(r"IMG(\d{1,12})\.jpg")


@dataclass(frozen=True)
class Joint:
    """A joint whose ROIs hipdet has labels of, CC BY 4.0.

    Attributes:
        label: Name of the class.
        description: Films and ROIs, for the ``info``.
        prefix: Begins the names of the files of folds.
    """

    label: str
    description: str
    prefix: str = ""

    @property
    def table(self) -> Path:
        """Our table."""
        return Path(__file__).with_name(f"fracatlas_{self.label}s.csv")


HIPS, KNEES = "hips", "knees"
JOINTS = {
    HIPS: Joint(HIP, "Hips in AP pelvic radiographs of FracAtlas; boxes in the upright frame, 0-based"),
    KNEES: Joint("knee", "Knees in AP radiographs of FracAtlas; boxes in the upright frame, 0-based", "knees_"),
}


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
    joint: str = HIPS,
) -> dict[Path, list[Film]]:
    """Write ``hips.json`` with its provenance, and ``fold{k}_train.json`` and ``fold{k}_test.json`` for every fold.

    For knees these are ``knees.json``, ``knees_fold{k}_train.json`` and so on, so that both fit into one folder.  Films that
    may be of one patient share a fold; the ``info`` says that this is a guess.  Every image record has the ``fold`` in which
    it is tested.

    Args:
        root: The released folder, with the films in ``images``, ``images/Fractured`` or ``images/Non_fractured``.
        table: The table of ROIs; by default ``root/hips.csv`` (``root/knees.csv``), or hipdet's own if there is no such file.
        out: Folder to write to; by default ``root/annotations``.
        folds: Number of folds.
        seed: Seed of the random folds.
        ignore: Table of boxes to ignore.
        joint: One of :data:`JOINTS`.

    Returns:
        The films of every written file, by path.

    Raises:
        DatasetError: the list of faults of the table or the films.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder, expected FracAtlas as released, with images/: check the path")
    rois, own_table = JOINTS[joint], root / f"{joint}.csv"
    table = Path(table) if table is not None else own_table if own_table.exists() else rois.table
    out = Path(out) if out is not None else root / "annotations"
    found = find_fracatlas(root, table)
    films = convert_listed(found, table, "fracatlas", Path(ignore) if ignore is not None else None, rois.label)
    fold_of = grouped_folds([film.patient for film in films], folds, seed)
    films = [replace(film, extra={**film.extra, "fold": fold}) for film, fold in zip(films, fold_of)]
    parts = {joint: films}
    for fold in range(folds):
        parts[f"{rois.prefix}fold{fold}_train"] = [film for film in films if film.extra["fold"] != fold]
        parts[f"{rois.prefix}fold{fold}_test"] = [film for film in films if film.extra["fold"] == fold]
    about = {"description": rois.description, **INFO}
    origin = {"hipdet": __version__, "options": {"folds": folds, "seed": seed}, "labels": checksum(table), **about}
    info = {**about, **mark_record(found.mark)}
    contents = {out / f"{name}.json": build_coco(part, [rois.label], info) for name, part in parts.items()}
    write_json_files({out / f"{joint}.provenance.json": {**origin, **Summary.of(films).record()}, **contents})
    return {out / f"{name}.json": part for name, part in parts.items()}
