"""The entry point to all label formats: finds the label files of a folder, detects their format and reads them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tqdm import tqdm

from hipdet.core.errors import DatasetError, raise_faults
from hipdet.core.files import name_of
from hipdet.core.records import shown
from hipdet.core.stored_files import files_below
from hipdet.data.formats.parse import (
    FaultLog,
    FaultyLabel,
    LabelFault,
    LabelFile,
    load_label_file,
    shown_tag,
    table_header,
)
from hipdet.data.formats.record import CLASS_LISTS, FilmLabels, FilmSizes, LabelOptions, Origin, Reader, check_films

BOX_COLUMNS = {"x", "y", "side", "w", "h", "x0", "y0", "x1", "y1"}  # of plain CSV


def detect_format(file: LabelFile) -> str:
    """The name of the format of `file` in FORMATS.

    Raises:
        LabelFault: no known format.
    """
    if file.kind == "xml":
        found = {"annotation": "voc", "annotations": "cvat"}.get(file.document.tag)
    else:
        found = _json_format(file.document) if file.kind == "json" else _text_format(file)
    if found is None:
        raise LabelFault(
            f"no known format, found {_summary(file)}: export the labels in a format that hipdet reads, name the format "
            "(--format, or format= in Python), or move the file out of the folder"
        )
    return found


def _json_format(document: Any) -> str | None:
    if isinstance(document, list):
        tasks = [item for item in document if isinstance(item, dict)]
        is_label_studio = any("data" in task or "annotation_id" in task or "annotator" in task for task in tasks)
        return "labelstudio" if is_label_studio else None
    if {"images", "annotations"} <= document.keys():
        return "coco"
    if "shapes" in document:
        return "labelme"
    films = [film for film in document.values() if isinstance(film, dict)]
    if "_via_img_metadata" in document or any({"filename", "regions"} <= film.keys() for film in films):
        return "via"
    return None


def _text_format(file: LabelFile) -> str | None:
    columns, _ = table_header(file.document)
    if "region_shape_attributes" in columns:
        return "via"
    if "image" in columns and not BOX_COLUMNS.isdisjoint(columns):
        return "csv"
    endings = {".txt": "yolo", ".csv": "csv", ".tsv": "csv"}
    return endings.get(file.path.suffix.lower())


def _summary(file: LabelFile) -> str:
    if file.kind == "xml":
        return f"XML with the root element {shown_tag(file.document)}"
    if file.kind == "text":
        return f"text that begins with {shown(file.document)}"
    if isinstance(file.document, dict):
        return f"a JSON object with {shown(sorted(file.document))}"
    return f"a JSON list of {len(file.document)}"


def label_files_below(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """All files below `root` that end with one of `suffixes`, sorted; links to folders aren't followed.

    Hidden files (such as macOS's copies ``._a.xml``), lists of classes and READMEs are no label files.

    Raises:
        DatasetError: a folder can't be read, or a link leads out of `root`.
    """
    endings = tuple(suffixes)

    def wanted(name: str) -> bool:
        lower = name.lower()
        return lower.endswith(endings) and lower not in CLASS_LISTS and not lower.startswith("readme")

    return sorted(file.path for file in files_below(root, wanted=wanted))


@dataclass(frozen=True)
class LabelFormat:
    """One format: the suffixes of its files, their kinds (see LabelFile.kind), and its reader: ``module:function``.

    The module, in this folder, is imported when a file of the format is read.
    """

    title: str
    suffixes: tuple[str, ...]
    kinds: tuple[str, ...]
    reader: str

    def read(self, files: Sequence[LabelFile], options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
        """Read the films of all `files`; their faults go to `faults`."""
        read: Reader = resolve_name(f"hipdet.data.formats.{self.reader}")
        return read(files, options, faults)


FORMATS = {
    "coco": LabelFormat("COCO JSON", (".json",), ("json",), "coco:read_coco_labels"),
    "voc": LabelFormat("Pascal VOC XML", (".xml",), ("xml",), "voc:read_voc"),
    "labelme": LabelFormat("LabelMe JSON", (".json",), ("json",), "labelme:read_labelme"),
    "cvat": LabelFormat("CVAT XML", (".xml",), ("xml",), "cvat:read_cvat"),
    "labelstudio": LabelFormat("Label Studio JSON", (".json",), ("json",), "label_studio:read_label_studio"),
    "via": LabelFormat("VIA JSON or CSV", (".json", ".csv"), ("json", "text"), "via:read_via"),
    "yolo": LabelFormat("YOLO txt", (".txt",), ("text",), "yolo:read_yolo"),
    "csv": LabelFormat("plain CSV", (".csv", ".tsv", ".txt"), ("text",), "plain_csv:read_csv"),
    "hips": LabelFormat("hip table", (".csv",), ("text",), "hip_table:read_hip_table"),
}


def read_labels(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    origin: Origin = "auto",
    rotated: str = "refuse",
    film_size: FilmSizes | None = None,
    classes: Sequence[str] | None = None,
    annotator: int | str | None = None,
    attribute: str | None = None,
    faulty: list[FaultyLabel] | None = None,
) -> list[FilmLabels]:
    """Read the labelled films of a label file, or of all label files of one format below a folder.

    Films aren't opened, and no path in a label file is followed.  Boxes are in the frame in which they were drawn:
    :func:`hipdet.data.formats.geometry.decide_frame` finds out which one that is.

    Args:
        path: File or folder.
        format: One of ``coco``, ``voc``, ``labelme``, ``cvat``, ``labelstudio``, ``via``, ``yolo``, ``csv``, ``hips``; by
            default detected from the content, which reads a hip table as plain CSV.
        origin: For VOC: 0 for edges counted from 0 (LabelImg), 1 for the standard's pixels counted from 1.  ``auto`` is 0
            if any of the files has an xmin or ymin below 1 or LabelImg's ``<path>``, otherwise 1.
        rotated: What to do with rotated boxes (CVAT, Label Studio, YOLO rows of 9 numbers, tools derived from LabelMe):
            ``refuse`` them, or ``enclose`` each in an axis-aligned box, which is not what was drawn.  Rotations by a
            multiple of 90 degrees, or that move no corner by half a pixel, are accepted.
        film_size: For YOLO: returns ``(width, height)`` in pixels for the name of a film without extension, or None.
        classes: For YOLO: names by index; by default from ``classes.txt`` or ``data.yaml`` beside or above the files.
        annotator: For Label Studio: read the annotations of this annotator only; by default of all, one record for each.
        attribute: For VIA: the region attribute that holds the label; by default the only one.
        faulty: Gets the faults, so that they don't raise.

    Returns:
        At least one film, in the order of the sorted files, and within a file in its order.  With `faulty` a film whose
        labels are faulty may lack some of its boxes, and there may be no film.

    Raises:
        DatasetError: nothing to read, or the list of all faults: file, place, what was found, what was expected.
    """
    path = Path(path)
    if isinstance(classes, str):  # a string is a sequence of letters
        raise DatasetError(f"classes are {classes!r}, expected a list of the names of the classes")
    names = None if classes is None else tuple(classes)
    author = None if annotator is None else str(annotator)
    options = LabelOptions(origin, rotated, film_size, names, author, attribute)
    if format is not None and format not in FORMATS:
        raise DatasetError(f"format is {format!r}, expected one of {', '.join(FORMATS)}")
    faults = FaultLog()
    files = _load(path, format, faults)
    kind, files = (format, files) if format else _detected(path, files, faults)
    films = FORMATS[kind].read(files, options, faults) if kind else []
    check_films(films, {file.path: file.shown for file in files}, faults)
    if faulty is None:
        raise_faults(path, faults.found)
    else:
        faulty += faults.faults
    if not films and not faults.faults:
        raise DatasetError(f"{path}: no labelled film, expected at least one: export the labels again")
    return films


def _load(path: Path, format: str | None, faults: FaultLog) -> list[LabelFile]:
    if path.is_dir():
        chosen = [FORMATS[format]] if format else FORMATS.values()
        suffixes = sorted({suffix for each in chosen for suffix in each.suffixes})
        paths = label_files_below(path, suffixes)
        if not paths:
            raise DatasetError(
                f"{path}: no label files, expected files that end with {', '.join(suffixes)}: check the path"
            )
    elif path.exists():
        paths = [path]
    else:
        raise DatasetError(f"{path}: no such file or folder: check the path")
    files = []
    for each in tqdm(paths, "label files", unit="file", disable=None if len(paths) > 1 else True):
        shown = name_of(each.name if each == path else str(each.relative_to(path)))
        with faults.at(shown):
            file = load_label_file(each, shown)
            if format and file.kind not in FORMATS[format].kinds:
                raise LabelFault(f"is {file.kind}, expected {FORMATS[format].title}: name another format")
            files.append(file)
    return files


def _detected(path: Path, files: Sequence[LabelFile], faults: FaultLog) -> tuple[str | None, list[LabelFile]]:
    """The only format of `files`, and the files that have it; files of no known format are faults."""
    kinds: dict[str, list[LabelFile]] = {}
    for file in files:
        with faults.at(file.shown):
            kinds.setdefault(detect_format(file), []).append(file)
    if len(kinds) > 1:
        found = ", ".join(f"{FORMATS[kind].title} ({same[0].shown})" for kind, same in kinds.items())
        raise DatasetError(f"{path}: several formats, {found}, expected one: name it, --format {'|'.join(kinds)}")
    return next(iter(kinds.items()), (None, []))
