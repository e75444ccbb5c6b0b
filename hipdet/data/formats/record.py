"""What every reader of label files returns, a film with its boxes, and what readers share: names and options.

Films and folders of label files are those of another machine: no path is followed.  A backslash always separates folders, as
on Windows: a film whose name holds one can't be told from a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from hipdet.core.errors import DatasetError
from hipdet.core.files import shown
from hipdet.data.formats.parse import FaultLog, LabelFault, LabelFile

CLASS_LISTS = ("classes.txt", "obj.names", "predefined_classes.txt")  # beside label files, and none themselves
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


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
    """`value` if it names a film.

    Raises:
        LabelFault: it is no text, empty, a folder, or has control characters.
    """
    if not isinstance(value, str) or last_part(value.strip()) in ("", "..") or _UNPRINTABLE.search(value):
        raise LabelFault(f"{key} is {shown(value)}, expected the file name of a film")
    return value.strip()


def label_name(value: object, key: str) -> str:
    """`value` if it names a class, without blanks around it."""
    if not isinstance(value, str) or not value.strip():
        raise LabelFault(f"{key} is {'missing' if value is None else shown(value)}, expected the name of a class")
    return value.strip()


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LabelBox:
    """One labelled box.

    Attributes:
        box: ``(x0, y0, x1, y1)`` in continuous 0-based pixel edges of the frame in which it was drawn, ``x0 < x1``; it may
            reach over the edge of the film.
        label: Name of its class as the file has it, None where the file gives none.
        place: Where it stands in the label file: ``line 12``, ``object 2``.
        picture_side: ``left`` or ``right`` as seen on the upright film, where the file says it.
        implant: Whether the joint is artificial, where the file says it.
    """

    box: Box
    label: str | None
    place: str
    picture_side: str | None = None
    implant: bool | None = None


@dataclass(frozen=True)
class FilmLabels:
    """One labelled film; without boxes it is one on which somebody found nothing.

    Attributes:
        film: Name or path of the film as the label file has it: a path of the labelling machine, so never to be opened.
            YOLO files don't name their film: theirs has no extension.
        declared: ``(width, height)`` in pixels by the label file; None where it declares no size.
        boxes: In the order of the file.
        file: The label file.
        place: Where the film stands in it: ``image 3``; empty where the file is about this film only.
        annotator: Who labelled it, where the format says so and a film can stand in it once per annotator.
        ignored: Boxes that are neither ROI nor background, where the format can say so, in the order of the file.
        remarks: What else the file says of it: hipdet annotate a ``status`` and the like (see
            :mod:`hipdet.data.film_status`), a hip table the ``patient``.
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
        """File name of the film, without the folders of the labelling machine, be it Windows or POSIX."""
        return last_part(self.film)

    @property
    def relative(self) -> str | None:
        """`film` with ``/`` between folders where it leads downwards; None where it is absolute or has ``..``."""
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


def repeat_faults(films: Iterable[FilmLabels], shown: dict[Path, str]) -> list[str]:
    """A fault for every film that stands twice, per annotator, and every box that stands twice in a film.

    Names of films are taken as relative to the folder of their label file: the same name in two folders is two films.
    """
    faults = []
    first: dict[object, FilmLabels] = {}
    for film in films:
        key = (film.file.parent, film.relative or film.film, film.annotator)
        before = first.setdefault(key, film)
        if before is not film:
            where, there = (": ".join(filter(None, (shown[each.file], each.place))) for each in (film, before))
            by = f" by annotator {film.annotator}" if film.annotator is not None else ""
            faults.append(f"{where}: {film.film} is labelled{by} in {there} too, expected once: remove one")
        seen: dict[tuple[Box, str | None], str] = {}
        for box in (*film.boxes, *film.ignored):
            place = seen.setdefault((box.box, box.label), box.place)
            if place != box.place:
                faults.append(f"{shown[film.file]}: {box.place}: the same box of {film.film} is {place}: remove one")
    return faults


FileReader = Callable[[LabelFile, LabelOptions, FaultLog], Iterable[FilmLabels]]
Reader = Callable[[Sequence[LabelFile], LabelOptions, FaultLog], list[FilmLabels]]


def file_by_file(read: FileReader) -> Reader:
    """A reader of several label files of a reader of one, whose faults end that file, not the reading."""

    @wraps(read)
    def read_all(files: Sequence[LabelFile], options: LabelOptions, faults: FaultLog) -> list[FilmLabels]:
        films: list[FilmLabels] = []
        for file in files:
            with faults.at(file.shown):
                films += read(file, options, faults)
        return films

    return read_all
