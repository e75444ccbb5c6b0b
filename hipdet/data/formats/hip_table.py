"""The hip table: one row per hip, ``image,x,y,side[,picture_side][,implant][,patient]``.

``x, y`` is the top-left corner and ``side`` the side of a square box, in pixels of the upright film, 0-based.  Comma
separated, UTF-8, with or without a byte order mark; further columns are passed over.
"""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hipdet.core.errors import DatasetError, RadiographError, raise_faults
from hipdet.core.files import is_file_name
from hipdet.data.coco_file import Film, Roi
from hipdet.data.formats.geometry import LARGEST_OVERHANG, clipped, overhang
from hipdet.data.formats.record import Box
from hipdet.radiographs.read import read_header

HIP = "hip"
_REQUIRED = ("image", "x", "y", "side")


@dataclass(frozen=True)
class HipRow:
    """One hip of the table; `line` is where it stands in the file."""

    line: int
    image: str
    x: float
    y: float
    side: float
    picture_side: str | None
    implant: bool | None
    patient: str | None

    @property
    def box(self) -> Box:
        """``(x0, y0, x1, y1)``; it may reach over the edge of the film."""
        return self.x, self.y, self.x + self.side, self.y + self.side


def read_hip_table(path: str | os.PathLike[str], need_patient: bool = False) -> list[HipRow]:
    """All rows of the table.

    Raises:
        DatasetError: the file or its columns are missing, or the list of faulty rows: file, line, column, what was
            found and what was expected.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = list(reader.fieldnames or ())
            missing = [name for name in (*_REQUIRED, *(["patient"] if need_patient else [])) if name not in header]
            if missing:
                hint = ": separate the columns by commas" if len(header) == 1 and set(";\t") & set(header[0]) else ""
                raise DatasetError(f"{path}: line 1: columns {', '.join(missing)} are missing, found {header}{hint}")
            if len(set(header)) < len(header):
                raise DatasetError(f"{path}: line 1: a column stands twice in {header}")
            records = [(reader.line_num, record) for record in reader]
    except OSError as error:
        raise DatasetError(f"{path}: hip table can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 ({error}): save the table as CSV UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{path}: not CSV ({error}): save the table as CSV UTF-8") from error
    faults: list[str] = []
    rows = [row for line, record in records if (row := _row(line, record, need_patient, faults))]
    faults += _repeat_faults(rows)
    raise_faults(path, faults)
    if not rows:
        raise DatasetError(f"{path}: no hips in the table, expected one row per hip below the header")
    return rows


def films_of_table(
    rows: Sequence[HipRow],
    table: Path,
    root: Path,
    source: str,
    find: Callable[[str], Path],
    patient_of: Callable[[HipRow], str],
) -> list[Film]:
    """One film per image of the table, in the table's order; its file is looked at, its size read upright.

    Args:
        rows: Of the table.
        table: Named in errors.
        root: What ``file_name`` is relative to.
        source: Name of the data set.
        find: The path of an image by its name; raises DatasetError when there is none.
        patient_of: Pseudonym of the patient, from the first row of the image.

    Raises:
        DatasetError: the list of films that are missing or damaged and of boxes outside their film by more than a
            quarter of their side.
    """
    by_image: dict[str, list[HipRow]] = defaultdict(list)
    for row in rows:
        by_image[row.image].append(row)
    films, faults = [], []
    for image, hips in by_image.items():
        try:
            path = find(image)
            width, height = read_header(path).upright
        except (DatasetError, RadiographError) as error:
            faults.append(f"line {hips[0].line}: {error}")
            continue
        faults += [fault for row in hips if (fault := _outside_fault(row, width, height))]
        if len({row.patient for row in hips}) > 1:
            faults.append(f"line {hips[1].line}, column patient: {image} has several patients, expected one")
        rois = tuple(Roi(clipped(row.box, width, height), HIP, row.picture_side, row.implant) for row in hips)
        films.append(Film(path.relative_to(root).as_posix(), width, height, source, patient_of(hips[0]), rois))
    raise_faults(table, faults)
    return films


def film_in(folder: Path, image: str) -> Path | None:
    """The file `image` in `folder`, None when there is none.

    Raises:
        DatasetError: a symbolic link that leads out of the folder.
    """
    path = folder / image
    if not path.is_file():
        return None
    if path.resolve().parent != folder.resolve():
        raise DatasetError(f"{path} is a link out of its folder: put the film itself there")
    return path


def _row(line: int, record: dict[str, str | None], need_patient: bool, faults: list[str]) -> HipRow | None:
    """The row, or None with its faults appended to `faults`."""
    # DictReader files surplus fields under None and fills missing ones with None
    if None in record or None in record.values():
        faults.append(f"line {line}: number of fields differs from the header's: check the commas")
        return None
    text = {key: (value or "").strip() for key, value in record.items()}
    x, y, side = (_number(text[column]) for column in ("x", "y", "side"))
    picture_side, implant, patient = (text.get(column) or None for column in ("picture_side", "implant", "patient"))
    expected = {
        "image": (is_file_name(text["image"]), "a plain file name, without folders"),
        "x": (x is not None, "a number of pixels"),
        "y": (y is not None, "a number of pixels"),
        "side": (side is not None and side > 0, "a number of pixels above 0"),
        "picture_side": (picture_side in ("left", "right", None), "left, right or nothing"),
        "implant": (implant in ("0", "1", None), "0, 1 or nothing"),
        "patient": (patient is not None or not need_patient, "the pseudonym of the patient"),
    }
    found = [
        f"line {line}, column {column}: found {record.get(column)!r}, expected {what}"
        for column, (good, what) in expected.items()
        if not good
    ]
    faults += found
    if found or x is None or y is None or side is None:
        return None
    return HipRow(line, text["image"], x, y, side, picture_side, None if implant is None else implant == "1", patient)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _repeat_faults(rows: Sequence[HipRow]) -> list[str]:
    """Rows with the same box as an earlier one, or a second hip on the same side of a film."""
    faults = []
    first: dict[tuple[object, ...], int] = {}  # box, or film and side, to its first line
    for row in rows:
        box = (row.image, row.x, row.y, row.side)
        side = (row.image, row.picture_side)
        if box in first:
            faults.append(f"line {row.line}: {row.image} has the same box in line {first[box]}: remove one")
        elif row.picture_side and side in first:
            found = f"found a second {row.picture_side!r} hip of {row.image} after line {first[side]}"
            faults.append(f"line {row.line}, column picture_side: {found}, expected one on each side")
        first.setdefault(box, row.line)
        first.setdefault(side, row.line)
    return faults


def _outside_fault(row: HipRow, width: int, height: int) -> str | None:
    over = overhang(row.box, width, height)
    if over <= LARGEST_OVERHANG * row.side:
        return None
    return (
        f"line {row.line}: box at x={row.x:g}, y={row.y:g} of side {row.side:g} reaches {over:g} px out of "
        f"{row.image}, {width}x{height} upright, expected at most a quarter of the side: was it drawn upright?"
    )
