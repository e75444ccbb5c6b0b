"""YOLO txt: one file per film, ``class cx cy width height`` per line as fractions of the film.

An empty file is a film without ROI; a film without a file isn't labelled and isn't returned.  The files don't name their
film: its name is the path of the label file below the folder that is read, without ``.txt`` and with ``images`` in place of
the last folder ``labels``.  They declare no size either: the option `film_size` returns it for that name, and the boxes are
in the frame of that size.  Rounding may move edges slightly beyond the film, so boxes are clipped, as detectors clip them.

Lines of 9 numbers are rotated boxes: ``class`` and 4 corners.  The classes come from the option `classes`, or from
``classes.txt``, ``obj.names`` or ``data.yaml`` beside the files or up to three folders above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hipdet.core.boxes import clipped
from hipdet.core.errors import HipdetError
from hipdet.core.records import shown
from hipdet.data.formats.geometry import Size, box_of_corners, checked_box, enclosing
from hipdet.data.formats.parse import FaultLog, Fields, LabelFault, LabelFile, decoded, film_size, number_in
from hipdet.data.formats.record import CLASS_LISTS, Box, FilmLabels, FilmSizes, LabelBox, LabelOptions, label_name

YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
LEVELS = 4  # the folder itself and three above: data/labels/train/a.txt with data/data.yaml
MAX_BYTES = 1 << 20
TOLERANCE = 1e-4  # fraction of a film: the error of rounding to 4 digits
# what PyYAML raises on malformed values, in addition to its own errors
_YAML_ERRORS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def read_yolo(files: Sequence[LabelFile], options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
    """Read the film of each of `files`; their faults go to `faults`."""
    films: list[FilmLabels] = []
    classes: dict[Path, tuple[str, ...]] = {}
    for file in files:
        folder = file.path.parent
        with faults.at(file.shown, film=film_of_label_file(file.shown)):
            if folder not in classes:
                classes[folder] = ()  # a fault of a folder is reported once
                classes[folder] = options.classes or find_classes(folder)
            if classes[folder]:
                films.append(_film(file, classes[folder], options, faults))
    return films


def _film(file: LabelFile, classes: Sequence[str], options: LabelOptions, faults: FaultLog) -> FilmLabels:
    name = film_of_label_file(file.shown)
    lines = [(number, line.split()) for number, line in enumerate(file.document.split("\n"), 1) if line.strip()]
    size = _size(options.film_size, name) if lines else None
    boxes = []
    for number, fields in lines:
        place = f"line {number}"
        with faults.at(file.shown, place, film=name):
            label = _label(fields[0], classes)
            if size is not None:
                boxes.append(LabelBox(_box(fields, size, options.rotated), label, place))
    return FilmLabels(name, None, tuple(boxes), file.path)


def film_of_label_file(shown_path: str) -> str:
    """``images/train/a`` for ``labels/train/a.txt``."""
    parts = list(PurePosixPath(shown_path).with_suffix("").parts)
    if "labels" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("labels")] = "images"
    return "/".join(parts)


def _size(film_size_of: FilmSizes | None, name: str) -> Size:
    if film_size_of is None:
        raise LabelFault("YOLO files have no sizes: give film_size=, which returns (width, height) by name of film")
    try:
        found = film_size_of(name)
    except HipdetError as error:
        raise LabelFault(f"size of {name}: {error}") from error
    size = None if found is None else film_size(*found)
    if size is None:
        raise LabelFault(f"film_size returns {shown(found)} for {name!r}: add the film, or remove its label file")
    return size


def _label(text: str, classes: Sequence[str]) -> str:
    index = number_in(text, "class")
    if index != int(index) or not 0 <= index < len(classes):
        known = f"{len(classes)} classes: {shown(list(classes))}"
        raise LabelFault(f"class is {shown(text)}, expected a whole number from 0 to {len(classes) - 1} ({known})")
    return classes[int(index)]


def _box(fields: Sequence[str], size: Size, rotated: str) -> Box:
    """The box in pixels, clipped to the film."""
    if len(fields) not in (5, 9):
        reason = {6: "export labels, not detections with scores"}.get(len(fields), "draw boxes, not outlines")
        raise LabelFault(f"{len(fields)} numbers, expected 5 (class cx cy width height) or 9 (corners): {reason}")
    values = [_fraction(text, position) for position, text in enumerate(fields[1:], 2)]
    pixels = [value * size[position % 2] for position, value in enumerate(values)]
    if len(pixels) == 4:
        cx, cy, width, height = pixels
        box = checked_box((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2), size)
    else:
        corners = list(zip(pixels[::2], pixels[1::2]))
        checked_box(enclosing(corners), size)
        box = box_of_corners(corners, rotated)
    return checked_box(clipped(box, *size), size)


def _fraction(text: str, position: int) -> float:
    value = number_in(text, f"number {position}")
    if not -TOLERANCE <= value <= 1 + TOLERANCE:
        raise LabelFault(f"number {position} is {text}, expected a fraction of the film from 0 to 1: are these pixels?")
    return value


def find_classes(folder: Path) -> tuple[str, ...]:
    """The class names from the nearest folder that has them: `folder` or one above.

    Raises:
        LabelFault: there are none, a file is broken, or two files in one folder differ.
    """
    for place in [folder.absolute(), *folder.absolute().parents][:LEVELS]:
        paths = [place / name for name in (*CLASS_LISTS, *YAMLS) if (place / name).is_file()]
        found = {path.name: read_classes(path) for path in paths}
        if len(set(found.values())) > 1:
            raise LabelFault(f"{' and '.join(found)} in {place} differ, expected the same classes: remove one")
        if found:
            return next(iter(found.values()))
    raise LabelFault("no names of classes: put a classes.txt beside it with one name per line, or give classes=")


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names by index; other contents of a data.yaml, such as paths, are skipped.

    Raises:
        LabelFault: the file is unreadable, has no names, or has a name twice.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelFault(f"larger than {MAX_BYTES} bytes, expected the names of classes")
        text = decoded(path.read_bytes())
        names = _yaml_names(text) if path.name in YAMLS else [line for line in text.split("\n") if line.strip()]
        classes = tuple(label_name(name, f"class {index}") for index, name in enumerate(names))
        if not classes or len(set(classes)) < len(classes):
            raise LabelFault(f"classes are {shown(list(classes))}, expected at least one, each once: fix the list")
    except OSError as error:
        raise LabelFault(f"{path}: can't be read: {error.strerror or error}") from error
    except LabelFault as fault:
        raise LabelFault(f"{path}: {fault}") from fault
    return classes


def _yaml_names(text: str) -> list[Any]:
    """``names`` of a data.yaml: a list, or a mapping from index to name."""
    try:
        import yaml
    except ImportError as error:
        raise LabelFault("needs PyYAML: pip install pyyaml, or write the names into classes.txt") from error
    try:
        document = yaml.safe_load(text)
    except (*_YAML_ERRORS, yaml.YAMLError) as error:
        raise LabelFault(f"not YAML ({' '.join(str(error).split())[:200]}): fix it") from error
    names = Fields(document, "the file")["names"]
    if isinstance(names, list):
        return names
    by_index: Mapping[Any, Any] = Fields(names, "names")  # YAML's keys may be numbers
    if set(by_index) != set(range(len(by_index))):
        raise LabelFault(f"names are numbered {shown(list(by_index))}, expected 0, 1, 2 ...")
    return [by_index[index] for index in range(len(by_index))]
