"""The one entrance to all formats of label files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from hipdet.coco.faults import raise_faults
from hipdet.errors import DatasetError
from hipdet.labels.detect import detect_format
from hipdet.labels.fault import Faults, LabelFault
from hipdet.labels.find_files import label_files_below
from hipdet.labels.formats import FORMATS
from hipdet.labels.label_file import LabelFile, load_label_file
from hipdet.labels.options import FilmSizes, LabelOptions, Origin
from hipdet.labels.record import FilmLabels
from hipdet.labels.repeats import repeat_faults


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
) -> list[FilmLabels]:
    """The labelled films of a label file, or of all label files of one format below a folder.

    Films are not looked at and no path of a label file is followed.  Boxes are in the frame in which they were drawn:
    :func:`hipdet.labels.decide_frame` tells which one that is.

    Args:
        path: File or folder.
        format: One of ``coco``, ``voc``, ``labelme``, ``cvat``, ``labelstudio``, ``via``, ``yolo``, ``csv``; by default told
            from the content.
        origin: Of VOC: 0 for edges counted from 0 (LabelImg), 1 for the standard's pixels counted from 1.  ``auto`` takes
            0 if a file among those read together proves it by an xmin or ymin below 1, or has LabelImg's ``<path>``;
            otherwise 1.
        rotated: What becomes of turned boxes (CVAT, Label Studio, YOLO rows of 9 numbers, LabelMe's relatives): ``refuse``
            them, as the upright box is not what was drawn, or ``enclose`` them by it.  Turns by a multiple of 90
            degrees, and those that move no corner by half a pixel, are upright.
        film_size: Of YOLO: ``(width, height)`` in pixels by the name of a film without extension, None for no such film.
        classes: Of YOLO: names by index; by default from ``classes.txt`` or ``data.yaml`` beside or above the files.
        annotator: Of Label Studio: only this one's annotations; by default everyone's, a record each.
        attribute: Of VIA: the region attribute that holds the label; by default the only one.

    Returns:
        At least one film, in the order of the sorted files and within them of the file.

    Raises:
        DatasetError: nothing to read, or the list of all faults: file, place, what was found, what was expected.
    """
    path = Path(path)
    if isinstance(classes, str):  # a text is a sequence of letters
        raise DatasetError(f"classes are {classes!r}, expected a list of the names of the classes")
    names = None if classes is None else tuple(classes)
    author = None if annotator is None else str(annotator)
    options = LabelOptions(origin, rotated, film_size, names, author, attribute)
    if format is not None and format not in FORMATS:
        raise DatasetError(f"format is {format!r}, expected one of {', '.join(FORMATS)}")
    faults = Faults()
    files = _load(path, format, faults)
    kind, files = (format, files) if format else _detected(path, files, faults)
    films = FORMATS[kind].read(_of_kind(files, kind, faults), options, faults) if kind else []
    faults.found += repeat_faults(films, {file.path: file.shown for file in files})
    raise_faults(path, faults.found)
    if not films:
        raise DatasetError(f"{path}: no labelled film, expected at least one: export the labels again")
    return films


def _load(path: Path, format: str | None, faults: Faults) -> list[LabelFile]:
    if path.is_dir():
        chosen = [FORMATS[format]] if format else FORMATS.values()
        suffixes = sorted({suffix for each in chosen for suffix in each.suffixes})
        paths = label_files_below(path, suffixes)
        if not paths:
            raise DatasetError(f"{path}: no label files, expected some that end with {', '.join(suffixes)}")
    elif path.exists():
        paths = [path]
    else:
        raise DatasetError(f"{path}: no such file or folder: check the path")
    files = []
    for each in tqdm(paths, "label files", unit="file", disable=None if len(paths) > 1 else True):
        shown = each.name if each == path else each.relative_to(path).as_posix()
        with faults.at(shown):
            files.append(load_label_file(each, shown))
    return files


def _detected(path: Path, files: Sequence[LabelFile], faults: Faults) -> tuple[str | None, list[LabelFile]]:
    """The one format of `files` and those that have it; the others, of no known format, are faults."""
    kinds: dict[str, list[LabelFile]] = {}
    for file in files:
        with faults.at(file.shown):
            kinds.setdefault(detect_format(file), []).append(file)
    if len(kinds) > 1:
        found = ", ".join(f"{FORMATS[kind].title} ({same[0].shown})" for kind, same in kinds.items())
        raise DatasetError(f"{path}: several formats, {found}, expected one: name it with format={'|'.join(kinds)}")
    return next(iter(kinds.items()), (None, []))


def _of_kind(files: Sequence[LabelFile], kind: str, faults: Faults) -> list[LabelFile]:
    """Those of `files` that can be of the format, the others being faults."""
    expected = FORMATS[kind]
    good = []
    for file in files:
        with faults.at(file.shown):
            if file.kind not in expected.kinds:
                raise LabelFault(f"is {file.kind}, expected {expected.title}: name another format=")
            good.append(file)
    return good
