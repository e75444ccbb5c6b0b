"""What every reader of label files returns: films with their boxes; and what the readers share: names and options.

Paths in label files are those of another machine, so none is followed.  A backslash always separates folders, as on Windows:
a film name with a backslash can't be distinguished from a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from hipdet.core.annotations import VIEW
from hipdet.core.errors import DatasetError, one_line
from hipdet.core.records import MAX_ROIS, shown
from hipdet.data.formats.parse import FaultLog, LabelFault, LabelFile

CLASS_LISTS = ("classes.txt", "obj.names", "predefined_classes.txt")  # beside label files, but not label files


def last_part(film: str) -> str:
    """``a.jpg`` of ``C:\\films\\a.jpg``, ``../films/a.jpg`` and ``a.jpg``."""
    return PureWindowsPath(film).name


def relative_part(film: str) -> str | None:
    """`film` with ``/`` between folders; None if it is absolute, has a drive or leads upwards."""
    path = PureWindowsPath(film)
    if path.drive or path.root or ".." in path.parts:
        return None
    return PurePosixPath(*path.parts).as_posix()


def film_name(value: object, key: str) -> str:
    """Return `value`, stripped, if it names a film.

    Raises:
        LabelFault: it isn't a string, is empty, names a folder, has control characters, or is far too long.
    """
    if not isinstance(value, str) or last_part(value.strip()) in ("", "..") or one_line(value) != value:
        raise LabelFault(f"{key} is {shown(value)}, expected the file name of a film")
    return value.strip()


def label_name(value: object, key: str) -> str:
    """Return `value`, stripped, if it names a class: not empty, without control characters, and not far too long."""
    if not isinstance(value, str) or not value.strip() or one_line(value.strip()) != value.strip():
        raise LabelFault(f"{key} is {'missing' if value is None else shown(value)}, expected the name of a class")
    return value.strip()


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelBox:
    """One labelled box.

    Attributes:
        box: ``(x0, y0, x1, y1)`` in continuous 0-based pixel edges of the frame in which it was drawn, ``x0 < x1``; it may
            reach over the edge of the film.
        label: Name of its class in the file; None if the file gives none.
        place: Its place in the label file: ``line 12``, ``object 2``.
        picture_side: ``left`` or ``right`` as seen on the upright film; None if the file doesn't say.
        implant: Whether the joint is artificial; None if the file doesn't say.
        kind: Kind of ROI, such as ``child``; None if the file doesn't say.
    """

    box: Box
    label: str | None
    place: str
    picture_side: str | None = None
    implant: bool | None = None
    kind: str | None = None


@dataclass(frozen=True)
class FilmLabels:
    """One labelled film; without boxes it is a film that was labelled as having no ROI.

    Attributes:
        film: Name or path of the film in the label file: a path on the labelling machine, so never to be opened.
            YOLO files don't name their film: the name is taken from the label file and has no extension.
        declared: ``(width, height)`` in pixels according to the label file; None if it declares no size.
        boxes: In the order of the file.
        file: The label file.
        place: The film's place in it: ``image 3``; empty if the file is about this film only.
        annotator: Who labelled it, in formats that can hold a film once per annotator.
        ignored: Boxes that are neither ROI nor background, in formats that have them, in the order of the file.
        remarks: What else the file says about the film: the ``status`` and so on from hipdet annotate (see
            :mod:`hipdet.data.film_status`), the ``patient`` from a hip table, the ``view`` from any table or COCO file.
    """

    film: str
    declared: tuple[int, int] | None
    boxes: tuple[LabelBox, ...]
    file: Path
    place: str = ""
    annotator: str | None = None
    ignored: tuple[LabelBox, ...] = ()
    remarks: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """File name of the film, without folders, from a Windows or a POSIX path."""
        return last_part(self.film)

    @property
    def relative(self) -> str | None:
        """`film` with ``/`` between folders; None if it is absolute, has a drive or leads upwards."""
        return relative_part(self.film)


FilmSizes = Callable[[str], tuple[int, int] | None]
Origin = Literal["auto"] | int


@dataclass(frozen=True)
class LabelOptions:
    """Options of :func:`hipdet.data.formats.reader.read_labels`, which explains them."""

    origin: Origin = "auto"
    rotated: str = "refuse"
    film_size: FilmSizes | None = None
    classes: tuple[str, ...] | None = None
    annotator: str | None = None
    attribute: str | None = None

    def __post_init__(self) -> None:
        if self.origin not in ("auto", 0, 1) or isinstance(self.origin, bool):
            raise DatasetError(f"origin is {self.origin!r}, expected 0, 1 or 'auto'")
        if self.rotated not in ("refuse", "enclose"):
            raise DatasetError(f"rotated is {self.rotated!r}, expected 'refuse' or 'enclose'")
        good = self.classes is None or (self.classes and all(isinstance(name, str) and name for name in self.classes))
        if not good:
            raise DatasetError(f"classes are {self.classes!r}, expected the names of the classes")


def remarks_in(row: Mapping[str, str]) -> dict[str, str]:
    """What the text of a table's row says of its film: the view, if the table has that column."""
    return {VIEW: row[VIEW]} if VIEW in row else {}


def require_same(film: FilmLabels, said: Mapping[str, str]) -> None:
    """Refuse a row of a table that says something else of its `film` than the rows before."""
    for column, text in said.items():
        if film.remarks[column] != text:
            raise LabelFault(
                f"column {column} is {shown(text)}, expected {shown(film.remarks[column])} as in {film.place}: a film has "
                f"one {column}"
            )


def check_films(films: Iterable[FilmLabels], names: Mapping[Path, str], faults: FaultLog) -> None:
    """Report every film that an annotator labelled twice or with far too many boxes, and every box that a film has twice.

    Film names are relative to the folder of their label file: the same name in two folders means two films.

    Args:
        films: What a reader returns.
        names: What errors call the label files.
        faults: Collects the faults.
    """
    first: dict[object, FilmLabels] = {}
    for film in films:
        file = names[film.file]
        with faults.at(file, film.place, film=film.film):
            before = first.setdefault((film.file.parent, film.relative or film.film, film.annotator), film)
            if before is not film:
                there = ": ".join(filter(None, (names[before.file], before.place)))
                by = f" by annotator {film.annotator}" if film.annotator is not None else ""
                raise LabelFault(f"{film.film} is labelled{by} in {there} too, expected once: remove one")
        with faults.at(file, film.place, film=film.film):
            count = len(film.boxes) + len(film.ignored)
            if count > MAX_ROIS:
                raise LabelFault(f"{count} boxes on {film.film}, expected at most {MAX_ROIS}: is this one film?")
        seen: dict[tuple[Box, str | None], str] = {}
        for box in (*film.boxes, *film.ignored):
            place = seen.setdefault((box.box, box.label), box.place)
            if place != box.place:
                with faults.at(file, box.place, film=film.film):
                    raise LabelFault(f"the same box of {film.film} is {place}: remove one")


FileReader = Callable[[LabelFile, LabelOptions, FaultLog], Iterable[FilmLabels]]
Reader = Callable[[Sequence[LabelFile], LabelOptions, FaultLog], list[FilmLabels]]


def file_by_file(read: FileReader) -> Reader:
    """Make a reader of several label files from a reader of one; a fault ends the file in which it occurs only."""

    @wraps(read)
    def read_all(files: Sequence[LabelFile], options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
        films: list[FilmLabels] = []
        for file in files:
            with faults.at(file.shown):
                films += read(file, options, faults)
        return films

    return read_all
